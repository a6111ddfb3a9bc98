"""Detects container formats (qcow2, VMDK, VHD …), which must be converted to raw disks first."""

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
_VHD_COOKIE = b"conectix"
# Versions before Virtual PC 2004 wrote a footer of 511 bytes.
_VHD_FOOTER_LENGTHS = (512, 511)


def find_container_format(head: bytes, tail: bytes = b"") -> str | None:
    """Return the name of a file's container format, or None for a raw disk.

    Args:
        head: The first 512 bytes, or all of a shorter file.
        tail: The last 512 bytes, or all of a shorter file. A fixed VHD is a raw disk with a footer.
    """
    if head[_VDI_OFFSET : _VDI_OFFSET + len(_VDI_MAGIC)] == _VDI_MAGIC:
        return "VDI"
    name = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if name is None and any(tail[-length:].startswith(_VHD_COOKIE) for length in _VHD_FOOTER_LENGTHS):
        return "fixed VHD"
    return name
