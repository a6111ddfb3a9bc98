"""Programs and files that some tests need, and that not every machine has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def require_installed(*needed: str | Path) -> None:
    """Leave the test out, visibly, where a command or a file is missing; in CI the test fails.

    Args:
        needed: Commands by name, files by path; `make system browser` installs them.
    """
    missing = [
        str(item)
        for item in needed
        if not (item.exists() if isinstance(item, Path) else shutil.which(item) is not None)
    ]
    if missing:
        message = f"missing: {', '.join(missing)}; to install it: make system browser"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
