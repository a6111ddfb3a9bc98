"""The primary volume descriptor of ISO 9660 (ECMA-119 §8.4)."""

from __future__ import annotations

import struct

from image_gateway.conversion.object_source import CountedObject
from image_gateway.errors import InvalidImage, UnsupportedImage

_AT = 16 * 2048
_LENGTH = 2048
_PRIMARY, _VERSION = 1, 1
_BLOCK_SIZES = (512, 1024, 2048)


def check_iso(source: CountedObject, max_size: int) -> int:
    """Return the size in bytes of an ISO image: the file's, which may be larger than its volume.

    Raises:
        InvalidImage, UnsupportedImage: The message names what is wrong.
    """
    descriptor = source.read_header(_AT, _LENGTH, "ISO's primary volume descriptor")
    kind, identity, version = struct.unpack_from("B5sB", descriptor)
    if (kind, identity, version) != (_PRIMARY, b"CD001", _VERSION):
        raise InvalidImage("the file is not an ISO 9660 image: it has no primary volume descriptor at 32768")
    blocks, blocks_again = (
        struct.unpack_from("<I", descriptor, 80)[0],
        struct.unpack_from(">I", descriptor, 84)[0],
    )
    (block_size,) = struct.unpack_from("<H", descriptor, 128)
    if blocks != blocks_again or blocks == 0 or block_size not in _BLOCK_SIZES:
        raise InvalidImage(f"the ISO's volume of {blocks} blocks of {block_size} bytes is not valid")
    if blocks * block_size > source.size:
        raise InvalidImage(
            f"the file is truncated: the ISO has {blocks * block_size} bytes, the file {source.size}"
        )
    if source.size > max_size:
        raise UnsupportedImage(f"the ISO has {source.size} bytes, and {max_size} are allowed")
    return source.size
