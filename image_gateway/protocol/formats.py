"""Detects the format of a disk image by its magic numbers: qcow2, VMDK, VHD …, ISO 9660, or a raw disk."""

from __future__ import annotations

from enum import StrEnum

SNIFF_LENGTH = 512
# An ISO 9660 volume has its first descriptor at 32 KiB.
HEAD_LENGTH = 34 * 1024


class DiskFormat(StrEnum):
    """The format of an image file, by the name that the API uses."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    ISO = "iso"


VHD_COOKIE = b"conectix"
VDI_OFFSET, VDI_MAGIC = 0x40, b"\x7f\x10\xda\xbe"
ISO_OFFSET, ISO_MAGIC = 0x8001, b"CD001"
_MAGIC = {
    b"QFI\xfb": DiskFormat.QCOW2,
    b"KDMV": DiskFormat.VMDK,
    b"COWD": DiskFormat.VMDK,
    b"# Disk DescriptorFile": DiskFormat.VMDK,
    b"vhdxfile": DiskFormat.VHDX,
    VHD_COOKIE: DiskFormat.VHD,
}
_NAMES = {DiskFormat.VMDK: "VMDK", DiskFormat.VHDX: "VHDX", DiskFormat.VDI: "VDI"}
# Versions before Virtual PC 2004 wrote a footer of 511 bytes.
_VHD_FOOTER_LENGTHS = (512, 511)


def detect_format(head: bytes, tail: bytes) -> DiskFormat:
    """Return the format of an image file; what has no magic number is a raw disk.

    Args:
        head: The first 34 KiB, or all of a shorter file.
        tail: The last 512 bytes, or all of a shorter file. A fixed VHD is a raw disk with a footer.
    """
    found = _container_at_head(head)
    if found is None and find_vhd_footer(tail) is not None:
        return DiskFormat.VHD
    if found is None and head[ISO_OFFSET : ISO_OFFSET + len(ISO_MAGIC)] == ISO_MAGIC:
        return DiskFormat.ISO
    return found or DiskFormat.RAW


def find_container_format(head: bytes, tail: bytes = b"") -> str | None:
    """Return the name of a file's container format for people, or None for a raw disk or an ISO.

    Args:
        head: The first 512 bytes, or all of a shorter file.
        tail: The last 512 bytes, or all of a shorter file.
    """
    found = _container_at_head(head)
    if found is DiskFormat.VHD:
        return "dynamic VHD"
    if found is None:
        return "fixed VHD" if find_vhd_footer(tail) is not None else None
    return _NAMES.get(found, found.value)


def find_vhd_footer(tail: bytes) -> bytes | None:
    """Return the VHD footer at the end of a file, 512 or 511 bytes, or None."""
    ends = (tail[-length:] for length in _VHD_FOOTER_LENGTHS if len(tail) >= length)
    return next((end for end in ends if end.startswith(VHD_COOKIE)), None)


def _container_at_head(head: bytes) -> DiskFormat | None:
    if head[VDI_OFFSET : VDI_OFFSET + len(VDI_MAGIC)] == VDI_MAGIC:
        return DiskFormat.VDI
    return next((found for magic, found in _MAGIC.items() if head.startswith(magic)), None)
