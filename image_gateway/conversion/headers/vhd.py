"""The footer and the dynamic header of VHD (Virtual Hard Disk Image Format Specification 1.0)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from image_gateway.conversion.headers.virtual_size import check_virtual_size
from image_gateway.conversion.object_source import CountedObject
from image_gateway.errors import InvalidImage, UnsupportedImage
from image_gateway.protocol.formats import find_vhd_footer

_FOOTER_LENGTH = 512
_CHECKSUM_AT = 64
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_HEADER_LENGTH = 1024
_HEADER_COOKIE = b"cxsparse"
_HEADER_CHECKSUM_AT = 36
_BLOCK_SIZES = [1 << bits for bits in range(12, 29)]


@dataclass(frozen=True)
class VhdHeader:
    """A VHD's virtual size in bytes, and whether it is fixed: the raw disk followed by a footer."""

    size: int
    is_fixed: bool


def check_vhd(source: CountedObject, max_size: int) -> VhdHeader:
    """Return the facts of a VHD that needs no parent.

    Raises:
        InvalidImage, UnsupportedImage: The message names what is wrong.
    """
    start = max(0, source.size - _FOOTER_LENGTH)
    footer = find_vhd_footer(source.read(start, source.size))
    if footer is None:
        raise InvalidImage("the file is not a VHD or is truncated: it does not end with the footer conectix")
    if not _checksum_is_valid(footer, _CHECKSUM_AT):
        raise InvalidImage("the checksum of the VHD's footer is wrong")
    (header_offset,) = struct.unpack_from(">Q", footer, 16)
    (size,) = struct.unpack_from(">Q", footer, 48)
    (kind,) = struct.unpack_from(">I", footer, 60)
    if kind == _DIFFERENCING:
        raise UnsupportedImage("the VHD is a differencing disk, which needs its parent: merge it first")
    if kind not in (_FIXED, _DYNAMIC):
        raise UnsupportedImage(f"VHD disks of type {kind} are not supported")
    check_virtual_size(size, max_size)
    if kind == _DYNAMIC:
        _check_dynamic(source, footer, header_offset, size)
    elif size + len(footer) > source.size:
        raise InvalidImage(f"the file is truncated: a fixed VHD of {size} bytes has {source.size}")
    return VhdHeader(size, is_fixed=kind == _FIXED)


def _check_dynamic(source: CountedObject, footer: bytes, offset: int, size: int) -> None:
    if source.read_header(0, len(footer), "copy of the VHD's footer") != footer:
        raise InvalidImage("the VHD's footer and its copy at the beginning differ")
    header = source.read_header(offset, _HEADER_LENGTH, "VHD's dynamic header")
    (table_offset,) = struct.unpack_from(">Q", header, 16)
    entries, block_size = struct.unpack_from(">II", header, 28)
    if not header.startswith(_HEADER_COOKIE) or not _checksum_is_valid(header, _HEADER_CHECKSUM_AT):
        raise InvalidImage("the VHD's dynamic header is damaged")
    if block_size not in _BLOCK_SIZES:
        raise InvalidImage(f"the VHD has blocks of {block_size} bytes")
    if entries * block_size < size:
        raise InvalidImage("the VHD's block allocation table is too small for its size")
    if table_offset + entries * 4 > source.size:
        raise InvalidImage("the file is truncated: the VHD's block allocation table is beyond the end")


def _checksum_is_valid(structure: bytes, at: int) -> bool:
    """Compare the ones' complement of the sum of all bytes but the checksum's own."""
    (written,) = struct.unpack_from(">I", structure, at)
    return bool(written == ~(sum(structure) - sum(structure[at : at + 4])) & 0xFFFFFFFF)
