"""Zero maps against a list of bytes, and hostile objects."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.zero_map import (
    BLOCK_SIZE,
    MAX_BITMAP_BYTES,
    MAX_OBJECT_BYTES,
    ZeroMap,
    ZeroMapBuilder,
    ZeroMapError,
    block_size_of,
    make_zero_map,
)

# Sizes and positions in quarters of a block, so that a model of a list is small; and one byte beside them.
QUARTER = BLOCK_SIZE // 4
SIZES = st.builds(
    lambda quarters, odd: quarters * QUARTER + odd, st.integers(1, 400), st.sampled_from([0, 1, 512])
)


@st.composite
def zero_ranges(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A size, and ranges within it in any order; some touch or overlap."""
    size = draw(SIZES)
    ranges: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(0, 12))):
        continues = ranges and draw(st.booleans())
        start = ranges[-1][1] if continues else min(size, draw(st.integers(0, 400)) * QUARTER)
        length = draw(st.one_of(st.integers(0, 8), st.integers(0, 400))) * QUARTER + draw(st.integers(-1, 1))
        ranges.append((start, min(size, max(start, start + length))))
    return size, ranges


def zero_blocks(size: int, ranges: list[tuple[int, int]]) -> set[int]:
    """The blocks of which every byte is in some range."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return {
        index
        for index in range(-(-size // BLOCK_SIZE))
        for start, stop in joined
        if start <= index * BLOCK_SIZE and min(size, (index + 1) * BLOCK_SIZE) <= stop
    }


@given(zero_ranges(), st.data())
def test_against_a_model(made: tuple[int, list[tuple[int, int]]], data: st.DataObject) -> None:
    size, ranges = made
    blocks = zero_blocks(size, ranges)
    zero_map = make_zero_map(size, ranges)
    assert zero_map.has_zeros == bool(blocks)
    read = ZeroMap.from_bytes(zero_map.to_bytes())
    assert (read.size, read.block_size, read.to_bytes()) == (size, BLOCK_SIZE, zero_map.to_bytes())
    edges = [edge * BLOCK_SIZE + near for edge in range(size // BLOCK_SIZE + 2) for near in (-1, 0, 1)]
    for _ in range(20):
        start, stop = data.draw(st.sampled_from(edges)), data.draw(st.sampled_from([*edges, size]))
        is_within = 0 <= start < stop <= size
        wanted = range(start // BLOCK_SIZE, (stop - 1) // BLOCK_SIZE + 1)
        assert read.is_zero(start, stop) == (is_within and blocks.issuperset(wanted)), (start, stop)


@given(SIZES, st.data())
def test_scanned_pieces_give_the_zero_blocks_of_the_data(size: int, data: st.DataObject) -> None:
    disk = bytearray(size)
    for position in data.draw(st.lists(st.integers(0, size - 1), max_size=8)):
        disk[position] = 1
    piece = data.draw(st.sampled_from([512, 3 * 512, BLOCK_SIZE, 3 * QUARTER, 5 * QUARTER, size]))
    builder = ZeroMapBuilder(size)
    for start in range(0, size, piece):
        builder.scan(start, bytes(disk[start : start + piece]))
    expected = [not any(disk[start : start + BLOCK_SIZE]) for start in range(0, size, BLOCK_SIZE)]
    zero_map = builder.build()
    for index, is_zero in enumerate(expected):
        start = index * BLOCK_SIZE
        assert zero_map.is_zero(start, min(size, start + BLOCK_SIZE)) == is_zero


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, 101), (5, 4), (101, 101)])
def test_a_range_beyond_the_disk_is_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="no range of the disk"):
        ZeroMapBuilder(100).add(start, stop)


@pytest.mark.parametrize(
    ("size", "block_size"),
    [
        (1, BLOCK_SIZE),
        (2**39, BLOCK_SIZE),
        (2**39 + 1, 2 * BLOCK_SIZE),
        (5 * 2**40, 16 * BLOCK_SIZE),
        (50 * 10**12, 128 * BLOCK_SIZE),
    ],
)
def test_blocks_grow_so_that_no_bitmap_is_large(size: int, block_size: int) -> None:
    assert block_size_of(size) == block_size
    zero_map = make_zero_map(size, [(0, size - 1)] if size > 1 else [(0, 1)])
    assert len(zero_map) <= MAX_BITMAP_BYTES
    read = ZeroMap.from_bytes(zero_map.to_bytes())
    last = (size - 1) // block_size * block_size
    assert read.is_zero(0, last) == (last > 0)
    assert read.is_zero(last, size) == (size == 1)


def test_100_gb_need_200_kb() -> None:
    zero_map = make_zero_map(100 * 10**9, [(2 * 10**9, 100 * 10**9)])
    assert len(zero_map) == 190_735
    assert len(zero_map.to_bytes()) < 1000


def packed(
    bits: bytes, size: int, *, magic: bytes = b"IGZEROS", version: int = 1, block_size: int = BLOCK_SIZE
) -> bytes:
    return struct.pack(">7sBQI", magic, version, size, block_size) + zlib.compress(bits)


GOOD = packed(b"\x03", 2 * BLOCK_SIZE)
HOSTILE = {
    "nothing": b"",
    "header alone": GOOD[:20],
    "other magic": packed(b"\x03", 2 * BLOCK_SIZE, magic=b"igzeros"),
    "other version": packed(b"\x03", 2 * BLOCK_SIZE, version=2),
    "no size": packed(b"\x00", 0),
    "no block size": packed(b"\x03", 2 * BLOCK_SIZE, block_size=0),
    "small blocks": packed(b"\xff", 2 * BLOCK_SIZE, block_size=BLOCK_SIZE // 4),
    "no power of two": packed(b"\x03", 2 * BLOCK_SIZE, block_size=BLOCK_SIZE + 512),
    "too many blocks": packed(b"\x03", 2**64 - 1),
    "one block too many": packed(bytes(MAX_BITMAP_BYTES + 1), MAX_BITMAP_BYTES * 8 * BLOCK_SIZE + 1),
    "short bitmap": packed(b"\x03", 9 * BLOCK_SIZE),
    "long bitmap": packed(b"\x03\x00", 2 * BLOCK_SIZE),
    "bits beyond the end": packed(b"\x07", 2 * BLOCK_SIZE),
    "no zlib": GOOD[:20] + b"\x03" * 20,
    "cut": GOOD[:-1],
    "wrong checksum": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "more behind": GOOD + b"\x00",
    "too long": GOOD + bytes(MAX_OBJECT_BYTES),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_objects_are_refused(data: bytes) -> None:
    assert ZeroMap.from_bytes(GOOD).is_zero(0, 2 * BLOCK_SIZE)
    with pytest.raises(ZeroMapError):
        ZeroMap.from_bytes(data)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_map_or_refused(data: bytes, with_header: bool) -> None:
    try:
        ZeroMap.from_bytes(GOOD[:20] + data if with_header else data)
    except ZeroMapError:
        return
    assert with_header


def test_a_small_object_cannot_expand_without_bound() -> None:
    bomb = packed(bytes(256 * 1024 * 1024), 2 * BLOCK_SIZE)
    assert len(bomb) < MAX_OBJECT_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(ZeroMapError, match="right length"):
            ZeroMap.from_bytes(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * MAX_OBJECT_BYTES
