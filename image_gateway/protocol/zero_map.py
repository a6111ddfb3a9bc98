"""Zero maps: which blocks of a disk hold only zeros, as a bitmap and as the bytes of its object.

Blocks have 64 KiB, the cluster size of qcow2. Of the zeros of a new ext4 file system, blocks of 4 KiB find
0.02 % more in a bitmap that is sixteen times as large, and blocks of 4 MiB find 1 % less. The bitmap of
100 GB has 200 KB. Above 512 GiB blocks are larger, so that no bitmap exceeds 1 MiB.

The object has a header of 20 bytes (magic, format version, size of the disk, block size; big-endian) and the
bitmap, compressed by zlib, which also has its checksum. Bit 0 of byte 0 is block 0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

BLOCK_SIZE = 64 * 1024
MAX_BITMAP_BYTES = 1024 * 1024
_MAGIC, _VERSION = b"IGZEROS", 1
_HEADER = struct.Struct(">7sBQI")
# zlib adds 5 bytes for each 16 KiB that cannot be compressed, and 6 for the stream.
MAX_OBJECT_BYTES = _HEADER.size + MAX_BITMAP_BYTES + 1024
_ZEROS = bytes(BLOCK_SIZE)


class ZeroMapError(ValueError):
    """The bytes are not a valid zero map; the message says why."""


class ZeroMap:
    """Tells which blocks of a disk of `size` bytes hold only zeros; the last block may be shorter."""

    __slots__ = ("_bits", "block_size", "size")

    def __init__(self, size: int, block_size: int, bits: bytes) -> None:
        self.size = size
        self.block_size = block_size
        self._bits = bits

    @classmethod
    def from_bytes(cls, data: bytes) -> ZeroMap:
        """Parse an object; decompresses at most MAX_BITMAP_BYTES. Raises ZeroMapError."""
        if not _HEADER.size < len(data) <= MAX_OBJECT_BYTES:
            raise ZeroMapError("its length is impossible")
        magic, version, size, block_size = _HEADER.unpack_from(data)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ZeroMapError("it is not a zero map, or of an unknown version")
        if size < 1 or block_size < BLOCK_SIZE or block_size & (block_size - 1):
            raise ZeroMapError("its disk size or block size is invalid")
        count = -(-size // block_size)
        length = -(-count // 8)
        if length > MAX_BITMAP_BYTES:
            raise ZeroMapError("it has too many blocks")
        bits = _decompress(data[_HEADER.size :], length)
        if count % 8 and bits[-1] >> count % 8:
            raise ZeroMapError("it has bits beyond the last block")
        return cls(size, block_size, bits)

    def to_bytes(self) -> bytes:
        """Return the object; equal maps give equal bytes."""
        header = _HEADER.pack(_MAGIC, _VERSION, self.size, self.block_size)
        return header + zlib.compress(self._bits)

    def __len__(self) -> int:
        """The number of bytes of the bitmap."""
        return len(self._bits)

    @property
    def has_zeros(self) -> bool:
        """Whether any block is zero."""
        return any(self._bits)

    def is_zero(self, start: int, stop: int) -> bool:
        """Return whether all bytes from `start` up to but not including `stop` are in zero blocks.

        False for an empty range, and for one that is not within the disk.
        """
        if not 0 <= start < stop <= self.size:
            return False
        bits = self._bits
        first, last = start // self.block_size, (stop - 1) // self.block_size
        head, tail = first >> 3, last >> 3
        head_mask, tail_mask = 0xFF << (first & 7) & 0xFF, 0xFF >> (7 - (last & 7))
        if head == tail:
            mask = head_mask & tail_mask
            return bits[head] & mask == mask
        return (
            bits[head] & head_mask == head_mask
            and bits[tail] & tail_mask == tail_mask
            and bits.startswith(b"\xff" * (tail - head - 1), head + 1)
        )


class ZeroMapBuilder:
    """Collects zero ranges of a disk of `size` bytes, which must be at least 1."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._block_size = block_size_of(size)
        count = -(-size // self._block_size)
        self._bits = bytearray(-(-count // 8))
        # The range of the last call, joined with those before that it continued.
        self._run = (0, 0)

    def add(self, start: int, stop: int) -> None:
        """Record that all bytes from `start` up to but not including `stop` are zeros.

        Only whole blocks count, and a short last block if its zeros reach the end of the disk. A range that
        touches or overlaps the one of the call before, and begins no earlier, continues it. Raises ValueError
        if not within the disk.
        """
        if not 0 <= start <= stop <= self._size:
            raise ValueError(f"no range of the disk: {start} to {stop} of {self._size} bytes")
        begin, run_stop = self._run
        if begin <= start <= run_stop:
            stop = max(stop, run_stop)
        else:
            begin = start
        self._run = (begin, stop)
        # Blocks before the one that holds `start` have been marked already.
        first = max(-(-begin // self._block_size), start // self._block_size)
        end = -(-stop // self._block_size) if stop == self._size else stop // self._block_size
        self._mark(first, end)

    def scan(self, start: int, data: bytes | bytearray) -> None:
        """Record the zeros in the bytes of the disk from `start` on; pieces in order continue each other."""
        stop = start + len(data)
        position = start
        while position < stop:
            end = min(stop, position - position % BLOCK_SIZE + BLOCK_SIZE)
            zeros = _ZEROS if end - position == BLOCK_SIZE else bytes(end - position)
            if data.startswith(zeros, position - start):
                self.add(position, end)
            position = end

    def build(self) -> ZeroMap:
        """Return the map."""
        return ZeroMap(self._size, self._block_size, bytes(self._bits))

    def to_bytes(self) -> bytes:
        """Return the map's object."""
        return self.build().to_bytes()

    def _mark(self, first: int, end: int) -> None:
        """Set the bits of the blocks from `first` up to but not including `end`."""
        while first < end and first % 8:
            self._bits[first >> 3] |= 1 << first % 8
            first += 1
        if first >= end:
            return
        whole = end >> 3
        self._bits[first >> 3 : whole] = b"\xff" * (whole - (first >> 3))
        if end % 8:
            self._bits[whole] |= (1 << end % 8) - 1


def block_size_of(size: int) -> int:
    """Return the block size for a disk of `size` bytes: 64 KiB, or the least that keeps the bitmap small."""
    block_size = BLOCK_SIZE
    while size > block_size * 8 * MAX_BITMAP_BYTES:
        block_size *= 2
    return block_size


def make_zero_map(size: int, zero_ranges: Iterable[tuple[int, int]]) -> ZeroMap:
    """Return the map of a disk with these zero ranges (start, stop), stop excluded, in any order."""
    builder = ZeroMapBuilder(size)
    for start, stop in sorted(zero_ranges):
        builder.add(start, stop)
    return builder.build()


def _decompress(data: bytes, length: int) -> bytes:
    """Return exactly `length` bytes; one more is allowed, so that the end of the stream is reached."""
    stream = zlib.decompressobj()
    try:
        bits = stream.decompress(data, length + 1)
    except zlib.error as error:
        raise ZeroMapError("it cannot be decompressed") from error
    if len(bits) != length or not stream.eof or stream.unused_data:
        raise ZeroMapError("its bitmap does not have the right length")
    return bits
