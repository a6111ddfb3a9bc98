"""Bounds of the size that a header declares."""

from __future__ import annotations

from image_gateway.errors import InvalidImage, UnsupportedImage

SECTOR = 512


def check_virtual_size(size: int, max_size: int) -> int:
    """Return the size of a virtual disk in bytes.

    Raises:
        InvalidImage: The disk is empty.
        UnsupportedImage: It is larger than `max_size`, or not of whole sectors, which QEMU would round.
    """
    if size == 0:
        raise InvalidImage("the virtual disk has a size of 0 bytes")
    if size > max_size:
        raise UnsupportedImage(f"the virtual disk has {size} bytes, and {max_size} are allowed")
    if size % SECTOR:
        raise UnsupportedImage(f"the virtual disk has {size} bytes, which is not a multiple of {SECTOR}")
    return size
