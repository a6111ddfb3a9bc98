"""QEMU, for the tests that need it."""

from __future__ import annotations

import os
import shutil

import pytest


def require_qemu() -> None:
    """Leave the test out, visibly, where QEMU is not installed; CI may not."""
    missing = [name for name in ("qemu-nbd", "qemu-img") if shutil.which(name) is None]
    if missing:
        message = f"{' and '.join(missing)} not installed: apt-get install qemu-utils qemu-block-extra"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
