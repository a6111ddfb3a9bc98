"""Segments: the blocks of one commit, or of several merged ones, as one immutable object.

A commit's body over HTTP is the segment itself, so what the writer's CRCs cover is what the store keeps.
Little-endian; docs/reference/delta-format.md has the layout.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAGIC = b"IGD1"
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE, DEFAULT_BLOCK_SIZE = 512, 64 * 1024, 4096
MAX_EXTENTS = 65_536
# Of the body of a commit. Segments that compaction writes are no larger either.
MAX_SEGMENT_BYTES = 8 * 1024 * 1024
_HEADER = struct.Struct("<4sB3sII")
_RESERVED = bytes(3)
_ENTRY = struct.Struct("<QIII")
_DATA, _ZERO = 0, 1


class SegmentError(ValueError):
    """The bytes are no valid segment; the message says what is wrong with them."""


@dataclass(frozen=True)
class Extent:
    """A run of blocks to write: `count` blocks from `block` on, with their data, or None for zeros."""

    block: int
    count: int
    data: bytes | memoryview | None = None


@dataclass(frozen=True)
class Entry:
    """An extent in the table of a segment; `data_start` is in blocks from the first data, None for zeros."""

    block: int
    count: int
    crc32: int
    data_start: int | None


@dataclass(frozen=True)
class Table:
    """The header of a segment: its block size and the entries, in ascending order of their blocks."""

    block_size: int
    entries: Sequence[Entry]

    @property
    def header_bytes(self) -> int:
        """The offset of the first data in the segment."""
        return header_bytes(len(self.entries))

    @property
    def data_blocks(self) -> int:
        return sum(entry.count for entry in self.entries if entry.data_start is not None)

    @property
    def blocks(self) -> int:
        """The number of blocks that it writes, zeros included."""
        return sum(entry.count for entry in self.entries)


def is_block_size(number: int) -> bool:
    """Return whether it is a power of two from 512 to 65,536."""
    return MIN_BLOCK_SIZE <= number <= MAX_BLOCK_SIZE and number & (number - 1) == 0


def count_blocks(size: int, block_size: int) -> int:
    """Return the number of blocks of a disk of `size` bytes, the last of which may be short."""
    return -(-size // block_size)


def header_bytes(extents: int) -> int:
    """Return the size of header and table of a segment of so many extents."""
    return _HEADER.size + extents * _ENTRY.size


def encode_segment(block_size: int, extents: Sequence[Extent]) -> bytes:
    """Return the segment of these extents, which must ascend and not overlap.

    Raises:
        SegmentError: An extent has another length than its blocks, or the order or number is wrong.
    """
    table = bytearray()
    for extent in extents:
        kind, data = (_ZERO, b"") if extent.data is None else (_DATA, extent.data)
        if kind == _DATA and len(data) != extent.count * block_size:
            raise SegmentError(f"block {extent.block} has {len(data)} bytes for {extent.count} blocks")
        table += _ENTRY.pack(extent.block, extent.count, kind, zlib.crc32(data))
    header = _HEADER.pack(MAGIC, block_size.bit_length() - 1, _RESERVED, len(extents), zlib.crc32(table))
    parse_table(header + table)
    return b"".join([header, table, *(extent.data for extent in extents if extent.data is not None)])


def parse_table(head: bytes | memoryview) -> Table:
    """Return the table at the start of a segment; `head` may go on behind it.

    Raises:
        SegmentError: Header or table are damaged, or the extents overlap or do not ascend.
    """
    block_size, extents, table_crc = _parse_header(head)
    table = memoryview(head)[_HEADER.size : header_bytes(extents)]
    if len(table) != extents * _ENTRY.size:
        raise SegmentError(f"the table of {extents} extents is cut off")
    if zlib.crc32(table) != table_crc:
        raise SegmentError("the CRC-32 of the table is wrong")
    return Table(block_size, list(_parse_entries(table)))


def parse_segment(body: bytes | memoryview, *, block_size: int, blocks: int) -> Table:
    """Return the table of a whole segment for a delta of `blocks` blocks, after checking all its data.

    Raises:
        SegmentError: It is damaged, has another block size, or writes beyond the end of the disk.
    """
    table = parse_table(body)
    if table.block_size != block_size:
        raise SegmentError(f"its blocks have {table.block_size} bytes, those of the delta {block_size}")
    last = table.entries[-1]
    if last.block + last.count > blocks:
        written = last.block + last.count - 1
        raise SegmentError(f"it writes up to block {written}, the last one of the disk is {blocks - 1}")
    expected = table.header_bytes + table.data_blocks * block_size
    if len(body) != expected:
        raise SegmentError(f"it has {len(body)} bytes, its table says {expected}")
    data = memoryview(body)[table.header_bytes :]
    for entry in table.entries:
        check_extent(entry, data, block_size)
    return table


def check_extent(entry: Entry, data: memoryview, block_size: int) -> None:
    """Compare an extent of the segment's data with its CRC-32; raises SegmentError."""
    if entry.data_start is None:
        return
    start = entry.data_start * block_size
    if zlib.crc32(data[start : start + entry.count * block_size]) != entry.crc32:
        raise SegmentError(f"the CRC-32 of the extent at block {entry.block} is wrong")


def _parse_header(head: bytes | memoryview) -> tuple[int, int, int]:
    """Return block size, number of extents, and CRC-32 of the table."""
    if len(head) < _HEADER.size:
        raise SegmentError(f"a segment has at least {_HEADER.size} bytes, this one {len(head)}")
    magic, log2, reserved, extents, table_crc = _HEADER.unpack_from(head)
    if magic != MAGIC:
        raise SegmentError("it does not begin with IGD1")
    if reserved != _RESERVED:
        raise SegmentError("its bytes 5 to 7 are not zero")
    if not is_block_size(1 << min(log2, 63)):
        raise SegmentError("its block size is none of the powers of two from 512 to 65,536")
    if not 1 <= extents <= MAX_EXTENTS:
        raise SegmentError(f"it has {extents} extents instead of 1 to {MAX_EXTENTS}")
    return 1 << log2, extents, table_crc


def _parse_entries(table: memoryview) -> Iterator[Entry]:
    end, data_blocks = 0, 0
    for block, count, kind, crc32 in _ENTRY.iter_unpack(table):
        if count < 1:
            raise SegmentError(f"the extent at block {block} has 0 blocks")
        if kind not in (_DATA, _ZERO):
            raise SegmentError(f"the extent at block {block} has kind {kind}, not 0 (data) or 1 (zeros)")
        if kind == _ZERO and crc32:
            raise SegmentError(f"the extent of zeros at block {block} has a CRC-32 instead of 0")
        if block < end:
            raise SegmentError(f"the extent at block {block} overlaps or precedes the one before it")
        end = block + count
        yield Entry(block, count, crc32, data_blocks if kind == _DATA else None)
        data_blocks += count if kind == _DATA else 0
