"""Tests of segments: what is encoded is parsed again, and anything that is damaged is refused."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.deltas.segment import (
    MAX_EXTENTS,
    Entry,
    Extent,
    SegmentError,
    check_extent,
    count_blocks,
    encode_segment,
    is_block_size,
    parse_segment,
    parse_table,
)

BLOCK = 512
BLOCKS = 1000


def make_extents(gaps: list[tuple[int, int, bool]]) -> list[Extent]:
    """Return ascending extents from (gap, count, is zero)."""
    extents, at = [], 0
    for gap, count, is_zero in gaps:
        block = at + gap
        data = None if is_zero else bytes([block % 251]) * (count * BLOCK)
        extents.append(Extent(block, count, data))
        at = block + count
    return extents


GAPS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.booleans()), min_size=1, max_size=40)


@given(GAPS)
def test_what_is_encoded_is_parsed_again(gaps: list[tuple[int, int, bool]]) -> None:
    extents = make_extents(gaps)
    body = encode_segment(BLOCK, extents)
    table = parse_segment(body, block_size=BLOCK, blocks=BLOCKS)
    assert [(entry.block, entry.count) for entry in table.entries] == [
        (extent.block, extent.count) for extent in extents
    ]
    for entry, extent in zip(table.entries, extents, strict=True):
        if extent.data is None:
            assert entry.data_start is None
        else:
            start = table.header_bytes + (entry.data_start or 0) * BLOCK
            assert body[start : start + len(extent.data)] == extent.data


@given(GAPS, st.data())
def test_a_changed_byte_is_noticed(gaps: list[tuple[int, int, bool]], draw: st.DataObject) -> None:
    body = bytearray(encode_segment(BLOCK, make_extents(gaps)))
    at = draw.draw(st.integers(0, len(body) - 1))
    body[at] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(SegmentError):
        parse_segment(bytes(body), block_size=BLOCK, blocks=BLOCKS)


@given(GAPS, st.data())
def test_a_segment_that_is_cut_off_or_too_long_is_refused(
    gaps: list[tuple[int, int, bool]], draw: st.DataObject
) -> None:
    body = encode_segment(BLOCK, make_extents(gaps))
    with pytest.raises(SegmentError):
        parse_segment(body[: draw.draw(st.integers(0, len(body) - 1))], block_size=BLOCK, blocks=BLOCKS)
    with pytest.raises(SegmentError):
        parse_segment(body + b"\0", block_size=BLOCK, blocks=BLOCKS)


def test_the_layout_is_the_documented_one() -> None:
    data = bytes(range(256)) * 2
    body = encode_segment(BLOCK, [Extent(3, 1, data), Extent(7, 2)])
    table = struct.pack("<QIII", 3, 1, 0, zlib.crc32(data)) + struct.pack("<QIII", 7, 2, 1, 0)
    header = b"IGD1" + bytes([9, 0, 0, 0]) + struct.pack("<II", 2, zlib.crc32(table))
    assert body == header + table + data


@pytest.mark.parametrize(
    ("extents", "message"),
    [
        ([], "it has 0 extents"),
        ([Extent(0, 1, bytes(BLOCK - 1))], "511 bytes for 1 blocks"),
        ([Extent(4, 2), Extent(5, 1)], "overlaps"),
        ([Extent(4, 1), Extent(2, 1)], "overlaps"),
        ([Extent(4, 0)], "0 blocks"),
    ],
)
def test_wrong_extents_are_not_encoded(extents: list[Extent], message: str) -> None:
    with pytest.raises(SegmentError, match=message):
        encode_segment(BLOCK, extents)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((4, 0, 0, 0), "block 4 has 0 blocks"),
        ((4, 1, 2, 0), r"kind 2, not 0 \(data\) or 1 \(zeros\)"),
        ((4, 1, 1, 7), "zeros at block 4 has a CRC-32"),
    ],
)
def test_wrong_entries_are_refused(entry: tuple[int, int, int, int], message: str) -> None:
    table = struct.pack("<QIII", *entry)
    header = b"IGD1" + bytes([9, 0, 0, 0]) + struct.pack("<II", 1, zlib.crc32(table))
    with pytest.raises(SegmentError, match=message):
        parse_table(header + table)


def test_too_many_extents_are_refused() -> None:
    extents = [Extent(2 * number, 1) for number in range(MAX_EXTENTS + 1)]
    with pytest.raises(SegmentError, match="65537 extents"):
        encode_segment(BLOCK, extents)


def test_a_segment_for_another_disk_is_refused() -> None:
    body = encode_segment(BLOCK, [Extent(9, 2, bytes(2 * BLOCK))])
    with pytest.raises(SegmentError, match="up to block 10, the last one of the disk is 9"):
        parse_segment(body, block_size=BLOCK, blocks=10)
    with pytest.raises(SegmentError, match="512 bytes, those of the delta 4096"):
        parse_segment(body, block_size=4096, blocks=100)


def test_the_table_is_read_from_the_start_of_a_segment() -> None:
    body = encode_segment(BLOCK, [Extent(9, 2, bytes(2 * BLOCK)), Extent(20, 5)])
    table = parse_table(body[: 16 + 2 * 20])
    assert (table.header_bytes, table.data_blocks, table.blocks) == (56, 2, 7)
    with pytest.raises(SegmentError, match="cut off"):
        parse_table(body[:50])


def test_an_extent_is_compared_with_its_crc() -> None:
    data = memoryview(bytes(BLOCK))
    check_extent(Entry(0, 1, zlib.crc32(data), 0), data, BLOCK)
    with pytest.raises(SegmentError, match="CRC-32 of the extent at block 8"):
        check_extent(Entry(8, 1, 1, 0), data, BLOCK)


def test_block_sizes_are_powers_of_two() -> None:
    assert [size for size in range(1, 200_000) if is_block_size(size)] == [2**power for power in range(9, 17)]
    assert count_blocks(4097, 4096) == 2
    assert count_blocks(4096, 4096) == 1
