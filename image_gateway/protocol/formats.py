"""Telling a raw disk from the container formats that would have to be expanded first."""

from __future__ import annotations

SNIFF_LENGTH = 512
_MAGIC = {
    b"QFI\xfb": "qcow2",
    b"KDMV": "VMDK",
    b"# Disk DescriptorFile": "VMDK",
    b"vhdxfile": "VHDX",
    b"conectix": "dynamic VHD",
}
_VDI_OFFSET, _VDI_MAGIC = 0x40, b"\x7f\x10\xda\xbe"


def find_container_format(head: bytes) -> str | None:
    """Name the container format whose first 512 bytes these are; None for a raw disk."""
    if head[_VDI_OFFSET : _VDI_OFFSET + len(_VDI_MAGIC)] == _VDI_MAGIC:
        return "VDI"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
