"""Real programs that read images by HTTP: what they made of a URL."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from tests.support.installed import require_installed

_SECONDS = 30
_CURL = ("curl", "-q", "-sSfL", "--max-time", "10")
_ARIA2 = ("aria2c", "--no-conf", "-q", "--file-allocation=none", "--timeout=2", "--max-tries=1")
# Longer than a first block of aria2, which resumes at blocks of 16 KiB.
HELD = 70_000


class Reading(StrEnum):
    """What came of reading an image."""

    RIGHT = "right bytes"
    WRONG = "wrong bytes"
    FAILED = "failure"


# A URL, the bytes behind it and an empty folder.
Reader = Callable[[str, bytes, Path], Reading]


def require_readers() -> None:
    """Leave the test out, visibly, where one of the programs is missing; in CI it fails."""
    # QEMU's driver for http is a package of its own, qemu-block-extra.
    drivers = [*Path("/usr/lib").glob("*/qemu/block-curl.so"), Path("/usr/lib/qemu/block-curl.so")]
    require_installed("curl", "aria2c", "qemu-img", drivers[0])


def read_range_by_curl(url: str, data: bytes, folder: Path) -> Reading:
    """`curl -r`: one range."""
    file = folder / "range"
    ended = _run(*_CURL, "-r", "1000-2000", "-o", str(file), url)
    return _judge(ended, file, data[1000:2001])


def resume_by_curl(url: str, data: bytes, folder: Path) -> Reading:
    """`curl -C -`: what a file of a broken download lacks."""
    file = folder / "resumed"
    file.write_bytes(data[:HELD])
    return _judge(_run(*_CURL, "-C", "-", "-o", str(file), url), file, data)


def resume_by_aria2(url: str, data: bytes, folder: Path) -> Reading:
    """`aria2c -c`: what a file of a broken download lacks."""
    (folder / "resumed").write_bytes(data[:HELD])
    ended = _run(*_ARIA2, "-c", "-x1", "-d", str(folder), "-o", "resumed", url)
    return _judge(ended, folder / "resumed", data)


def split_by_aria2(url: str, data: bytes, folder: Path) -> Reading:
    """`aria2c -s`: several connections, slow enough that all are used."""
    limited = f"--max-download-limit={2 * len(data)}"
    ended = _run(*_ARIA2, "-x4", "-s4", "-k1M", limited, "-d", str(folder), "-o", "split", url)
    return _judge(ended, folder / "split", data)


def copy_by_qemu(url: str, data: bytes, folder: Path) -> Reading:
    """`qemu-img convert` by the curl driver.

    With one coroutine: with several ones QEMU 7.2 hangs now and then, also on a right server.
    """
    source = {"driver": "raw", "file": {"driver": "http", "url": url, "timeout": 5}}
    copy = folder / "copy"
    ended = _run("qemu-img", "convert", "-m", "1", "-O", "raw", f"json:{json.dumps(source)}", str(copy))
    return _judge(ended, copy, data)


# By what they are called in `image-gateway check --as`; curl is no client there.
READERS: Mapping[str, tuple[str | None, Reader]] = {
    "curl -r": (None, read_range_by_curl),
    "curl -C -": (None, resume_by_curl),
    "aria2c -c": ("aria2", resume_by_aria2),
    "aria2c -s4": ("aria2", split_by_aria2),
    "qemu-img convert": ("qemu", copy_by_qemu),
}


def _run(*command: str) -> int | None:
    """Return the exit status, None if it had to be killed."""
    environment = {**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    return ended.returncode


def _judge(status: int | None, file: Path, wanted: bytes) -> Reading:
    if status != 0:
        return Reading.FAILED
    return Reading.RIGHT if file.exists() and file.read_bytes() == wanted else Reading.WRONG
