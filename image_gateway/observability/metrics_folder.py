"""The folder through which worker processes share their numbers.

Importing this imports nothing of prometheus: it looks for the folder once, when it is imported itself.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_numbers() -> Path:
    """Make an empty folder for this process and those it forks; it is removed when this one ends."""
    folder = Path(tempfile.mkdtemp(prefix="image-gateway-metrics-"))
    os.environ[VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def keep_numbers() -> None:
    """Let each process count in its own memory, whatever folder the environment names."""
    os.environ.pop(VARIABLE, None)


def shared_folder() -> Path | None:
    """The folder, None when nothing is shared."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def _remove(folder: Path, owner: int) -> None:
    # A forked worker ends by the same list.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
