"""Programs of the system, for the tests that need them."""

from __future__ import annotations

import os
import shutil

import pytest

# Debian's names.
_PACKAGES = {
    "qemu-nbd": "qemu-utils qemu-block-extra",
    "qemu-img": "qemu-utils qemu-block-extra",
    "qemu-io": "qemu-utils",
    "nbdinfo": "libnbd-bin",
    "nbdcopy": "libnbd-bin",
    "fio": "fio",
    "mkfs.ext4": "e2fsprogs",
    "linux.uml": "user-mode-linux",
    "slirp-fullbolt": "slirp",
    "nbd-client": "nbd-client",
    "busybox": "busybox",
}
_SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def require_qemu() -> None:
    """Leave the test out, visibly, where QEMU is not installed; CI may not."""
    require_programs("qemu-nbd", "qemu-img")


def require_programs(*names: str) -> None:
    """Leave the test out, visibly, where a program is not installed; CI may not."""
    missing = [name for name in names if shutil.which(name, path=_SYSTEM_PATH) is None]
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[name] for name in missing))
        message = f"{' and '.join(missing)} not installed: apt-get install {packages}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
