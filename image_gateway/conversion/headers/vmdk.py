"""The header and the descriptor of a sparse VMDK (VMware Virtual Disk Format 5.0)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

from image_gateway.conversion.headers.virtual_size import SECTOR, check_virtual_size
from image_gateway.conversion.object_source import CountedObject
from image_gateway.errors import InvalidImage, UnsupportedImage

_MAGIC = b"KDMV"
_DESCRIPTOR_MAGIC = b"# Disk DescriptorFile"
_HEADER = struct.Struct("<4sIIQQQQIQQ")
# Flags: there is a redundant directory, which QEMU then uses; grains are compressed.
_REDUNDANT, _COMPRESSED = 1 << 1, 1 << 16
_AT_END = (1 << 64) - 1
# The footer is a copy of the header, before the marker of the end of the stream.
_FOOTER_FROM_END = 1024
_MAX_VERSION = 3
_GRAIN_SECTORS = [1 << bits for bits in range(3, 14)]
_MAX_TABLE_ENTRIES = 512
_MAX_DESCRIPTOR_BYTES = 64 * 1024
_KINDS = {"monolithicSparse", "streamOptimized"}
_KIND = re.compile(r'^\s*createType\s*=\s*"([^"]*)"', re.MULTILINE)
_EXTENT = re.compile(r"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\S+)", re.MULTILINE)
_NO_PARENT = "ffffffff"
_PARENT = re.compile(r"^\s*parentCID\s*=\s*([0-9a-fA-F]*)", re.MULTILINE)


@dataclass(frozen=True)
class VmdkHeader:
    """A VMDK's virtual size in bytes, and whether QEMU must see the end of the file where it is.

    It looks for a footer there, and reads compressed grains with more bytes than they have.
    """

    size: int
    needs_end: bool


class _Header(NamedTuple):
    """Offsets and lengths are in sectors."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_at: int
    descriptor_length: int
    table_entries: int
    redundant_at: int
    directory_at: int

    def is_same_disk(self, other: _Header) -> bool:
        return self[:5] == other[:5] and self.table_entries == other.table_entries


def check_vmdk(source: CountedObject, max_size: int) -> VmdkHeader:
    """Return the facts of a VMDK that is one file: monolithicSparse or streamOptimized.

    Raises:
        InvalidImage, UnsupportedImage: The message names what is wrong.
    """
    head = source.read(0, min(source.size, SECTOR))
    if head.startswith(_DESCRIPTOR_MAGIC):
        raise UnsupportedImage("the VMDK is a descriptor that names other files: export the disk as one file")
    if head.startswith(b"COWD"):
        raise UnsupportedImage("the VMDK is an ESX sparse extent (COWD): export the disk as one file")
    if not head.startswith(_MAGIC):
        raise InvalidImage("the file is not a sparse VMDK: it does not begin with KDMV")
    header = _read_header(source, 0, "VMDK header")
    if source.size % SECTOR:
        # QEMU 7.2 hangs where a read would pass such an end.
        raise InvalidImage("the file is truncated: a VMDK has whole sectors of 512 bytes")
    if not 1 <= header.version <= _MAX_VERSION:
        raise UnsupportedImage(f"VMDK version {header.version} is not supported")
    size = check_virtual_size(header.capacity * SECTOR, max_size)
    if header.grain not in _GRAIN_SECTORS or not 1 <= header.table_entries <= _MAX_TABLE_ENTRIES:
        raise InvalidImage(
            f"the VMDK has grains of {header.grain} sectors in tables of {header.table_entries} entries"
        )
    _check_descriptor(source, header.descriptor_at * SECTOR, header.descriptor_length * SECTOR)
    has_footer = header.directory_at == _AT_END
    if has_footer:
        header = _read_footer(source, header)
    _check_directory(source, header, header.directory_at)
    if header.flags & _REDUNDANT:
        _check_directory(source, header, header.redundant_at)
    return VmdkHeader(size, needs_end=has_footer or bool(header.flags & _COMPRESSED))


def _read_header(source: CountedObject, at: int, name: str) -> _Header:
    return _Header(*_HEADER.unpack_from(source.read_header(at, SECTOR, name)))


def _read_footer(source: CountedObject, header: _Header) -> _Header:
    at = source.size - _FOOTER_FROM_END
    if at < SECTOR:
        raise InvalidImage("the file is truncated: the VMDK's footer is missing")
    footer = _read_header(source, at, "VMDK's footer")
    if footer.magic != _MAGIC:
        raise InvalidImage("the file is truncated: it does not end with the VMDK's footer")
    if not footer.is_same_disk(header) or footer.directory_at == _AT_END:
        raise InvalidImage("the VMDK's footer differs from its header")
    return footer


def _check_directory(source: CountedObject, header: _Header, sector: int) -> None:
    """Refuse tables that are beyond the end of the file, where QEMU may see zeros: a disk without data."""
    count = -(-header.capacity // (header.grain * header.table_entries))
    directory = source.read_header(sector * SECTOR, count * 4, "VMDK's grain directory")
    last = max(at for (at,) in struct.iter_unpack("<I", directory))
    if last and last * SECTOR + header.table_entries * 4 > source.size:
        raise InvalidImage("the file is truncated: a grain table of the VMDK is beyond the end")


def _check_descriptor(source: CountedObject, start: int, length: int) -> None:
    if not start or not length:
        raise UnsupportedImage("the VMDK has no descriptor: it is one of several files of a disk")
    if length > _MAX_DESCRIPTOR_BYTES:
        raise InvalidImage(f"the VMDK's descriptor has {length} bytes")
    block = source.read_header(start, length, "VMDK's descriptor")
    text = block.split(b"\0")[0].decode("utf-8", "replace")
    parents = [cid for cid in _PARENT.findall(text) if cid.lower() != _NO_PARENT]
    if parents or b"parentfilenamehint" in block.lower():
        raise UnsupportedImage("the VMDK has a parent: consolidate its snapshots first")
    kinds = _KIND.findall(text)
    if len(kinds) != 1 or kinds[0] not in _KINDS:
        raise UnsupportedImage(f"the VMDK's createType is not one of {', '.join(sorted(_KINDS))}")
    if _EXTENT.findall(text) != ["SPARSE"]:
        raise UnsupportedImage(
            "the VMDK's descriptor has not exactly one sparse extent: it names other files"
        )
