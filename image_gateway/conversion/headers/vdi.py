"""The header of VDI, VirtualBox's disk image, version 1.1."""

from __future__ import annotations

import struct

from image_gateway.conversion.headers.virtual_size import check_virtual_size
from image_gateway.conversion.object_source import CountedObject
from image_gateway.errors import InvalidImage, UnsupportedImage
from image_gateway.protocol.formats import VDI_MAGIC, VDI_OFFSET

_LENGTH = 512
_VERSION = 0x00010001
_DYNAMIC, _STATIC, _UNDO, _DIFFERENCING = range(1, 5)
_BLOCK_SIZE = 1024 * 1024
# The UUIDs of the parent and of its last modification.
_LINKS = slice(0x1A8, 0x1C8)


def check_vdi(source: CountedObject, max_size: int) -> int:
    """Return the virtual size in bytes of a VDI that needs no parent.

    Raises:
        InvalidImage, UnsupportedImage: The message names what is wrong.
    """
    header = source.read_header(0, _LENGTH, "VDI header")
    if header[VDI_OFFSET : VDI_OFFSET + len(VDI_MAGIC)] != VDI_MAGIC:
        raise InvalidImage("the file is not a VDI: its signature is missing")
    version, _, kind = struct.unpack_from("<III", header, 0x44)
    table_offset, _ = struct.unpack_from("<II", header, 0x154)
    size, block_size, _, blocks = struct.unpack_from("<QIII", header, 0x170)
    if version != _VERSION:
        raise UnsupportedImage(f"VDI version {version >> 16}.{version & 0xFFFF} is not supported, only 1.1")
    if kind in (_UNDO, _DIFFERENCING) or any(header[_LINKS]):
        raise UnsupportedImage("the VDI is a differencing disk, which needs its parent: merge it first")
    if kind not in (_DYNAMIC, _STATIC):
        raise InvalidImage(f"the VDI has the unknown type {kind}")
    check_virtual_size(size, max_size)
    if block_size != _BLOCK_SIZE:
        raise UnsupportedImage(f"VDI blocks of {block_size} bytes are not supported, only of 1 MiB")
    if blocks * block_size < size:
        raise InvalidImage("the VDI's block map is too small for its size")
    if table_offset + blocks * 4 > source.size:
        raise InvalidImage("the file is truncated: the VDI's block map is beyond the end")
    return int(size)
