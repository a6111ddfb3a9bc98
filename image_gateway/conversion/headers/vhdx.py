"""The region table and the metadata of VHDX ([MS-VHDX])."""

from __future__ import annotations

import struct
from uuid import UUID

from image_gateway.conversion.headers.virtual_size import check_virtual_size
from image_gateway.conversion.object_source import CountedObject
from image_gateway.errors import InvalidImage, UnsupportedImage

_MAGIC = b"vhdxfile"
_REGIONS_AT = 192 * 1024
_TABLE_LENGTH = 64 * 1024
_ENTRY = 32
_MAX_REGIONS, _MAX_ITEMS = 2047, 2047
_METADATA_REGION = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_BAT_REGION = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_VIRTUAL_DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_PARENT_LOCATOR = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
_HAS_PARENT = 2
_BLOCK_SIZES = [1 << bits for bits in range(20, 29)]


def check_vhdx(source: CountedObject, max_size: int) -> int:
    """Return the virtual size in bytes of a VHDX that needs no parent.

    Raises:
        InvalidImage, UnsupportedImage: The message names what is wrong.
    """
    if source.read_header(0, len(_MAGIC), "VHDX signature") != _MAGIC:
        raise InvalidImage("the file is not a VHDX: it does not begin with vhdxfile")
    regions = _read_regions(source)
    for region in (_METADATA_REGION, _BAT_REGION):
        if region not in regions:
            raise InvalidImage("the VHDX lacks a region that it must have")
        offset, length = regions[region]
        if offset + length > source.size:
            raise InvalidImage("the file is truncated: a region of the VHDX is beyond the end")
    items = _read_items(source, regions[_METADATA_REGION][0])
    if _FILE_PARAMETERS not in items or _VIRTUAL_DISK_SIZE not in items:
        raise InvalidImage("the VHDX's metadata lack its size")
    at = items[_FILE_PARAMETERS]
    block_size, flags = struct.unpack("<II", source.read_header(at, 8, "VHDX's file parameters"))
    if flags & _HAS_PARENT or _PARENT_LOCATOR in items:
        raise UnsupportedImage("the VHDX is a differencing disk, which needs its parent: merge it first")
    if block_size not in _BLOCK_SIZES:
        raise InvalidImage(f"the VHDX has blocks of {block_size} bytes")
    (size,) = struct.unpack("<Q", source.read_header(items[_VIRTUAL_DISK_SIZE], 8, "VHDX's size"))
    if -(-check_virtual_size(size, max_size) // block_size) * 8 > regions[_BAT_REGION][1]:
        raise InvalidImage("the VHDX's block allocation table is too small for its size")
    return int(size)


def _read_regions(source: CountedObject) -> dict[UUID, tuple[int, int]]:
    """Return offset and length of each region, of the first of the two tables: QEMU reads no other."""
    table = source.read_header(_REGIONS_AT, _TABLE_LENGTH, "VHDX's region table")
    (count,) = struct.unpack_from("<I", table, 8)
    if not table.startswith(b"regi") or count > _MAX_REGIONS:
        raise InvalidImage("the VHDX's region table is damaged")
    regions = {}
    for index in range(count):
        identity, offset, length, _ = struct.unpack_from("<16sQII", table, 16 + index * _ENTRY)
        regions[UUID(bytes_le=identity)] = (offset, length)
    return regions


def _read_items(source: CountedObject, region: int) -> dict[UUID, int]:
    """Return the offset in the file of each metadata item."""
    table = source.read_header(region, _TABLE_LENGTH, "VHDX's metadata table")
    (count,) = struct.unpack_from("<H", table, 10)
    if not table.startswith(b"metadata") or count > _MAX_ITEMS:
        raise InvalidImage("the VHDX's metadata table is damaged")
    items = {}
    for index in range(count):
        identity, offset, _, _ = struct.unpack_from("<16sIII", table, 32 + index * _ENTRY)
        items[UUID(bytes_le=identity)] = region + offset
    return items
