"""The folder in which worker processes share their metrics.

This module does not import prometheus_client, which looks for the folder once, at import.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_numbers() -> Path:
    """Create an empty folder for this process and its forks; it is deleted when this process exits."""
    folder = Path(tempfile.mkdtemp(prefix="image-gateway-metrics-"))
    os.environ[VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def keep_numbers() -> None:
    """Keep metrics in the memory of each process, even if the environment names a folder."""
    os.environ.pop(VARIABLE, None)


def shared_folder() -> Path | None:
    """Return the folder, or None if metrics are not shared."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


def _remove(folder: Path, owner: int) -> None:
    # Forked workers inherit the atexit handler.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
