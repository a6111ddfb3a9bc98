"""What is on an ext4 disk image, by the tools of e2fsprogs."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

_ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def check_files(image: Path) -> None:
    """Replay the journal of an image, and fail unless its files are consistent.

    Preening repairs nothing that a crash of a sound disk does not leave: it replays the journal and updates
    counters that are not in it.
    """
    replayed = _run("e2fsck", "-fp", image)
    assert replayed.returncode in (0, 1), replayed.stdout
    checked = _run("e2fsck", "-fn", image)
    assert checked.returncode == 0, checked.stdout


def hash_files(image: Path, folder: Path) -> dict[str, str]:
    """Copy the files of the image's root directory into a folder; return the SHA-256 of each by its name."""
    folder.mkdir()
    _run("debugfs", "-R", f"rdump / {folder}", image).check_returncode()
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
