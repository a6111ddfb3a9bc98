"""Traces have each block that was read once, in order, and map to blocks of any size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.boot_trace import (
    BLOCK_SIZE,
    MAX_BLOCKS,
    BadTrace,
    BlockOrder,
    BootTrace,
    trace_reads,
)

SIZE = 100 * BLOCK_SIZE + 777


@st.composite
def reads(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Reads of a disk of SIZE bytes, many of them beside the last one."""
    found: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(0, 30))):
        goes_on = bool(found) and draw(st.booleans()) and found[-1][1] < SIZE
        start = found[-1][1] if goes_on else draw(st.integers(0, SIZE - 1))
        found.append((start, draw(st.integers(start + 1, min(SIZE, start + 5 * BLOCK_SIZE)))))
    return found


def touched(some: list[tuple[int, int]], block_size: int) -> list[int]:
    """Each block with a byte that was read, in the order of the bytes; the slow and obvious way."""
    found: list[int] = []
    for start, stop in some:
        for block in range(SIZE // block_size + 1):
            if block * block_size < stop and (block + 1) * block_size > start and block not in found:
                found.append(block)
    return found


@given(reads())
def test_a_trace_has_what_was_read_in_order(some: list[tuple[int, int]]) -> None:
    trace = trace_reads(some)
    assert trace.blocks(BLOCK_SIZE, SIZE) == touched(some, BLOCK_SIZE)
    assert trace.block_count == len(touched(some, BLOCK_SIZE))
    assert trace.bytes_of(SIZE) == sum(
        min(SIZE, (block + 1) * BLOCK_SIZE) - block * BLOCK_SIZE for block in touched(some, BLOCK_SIZE)
    )


@given(reads(), st.integers(0, 40))
def test_a_cut_trace_is_the_beginning(some: list[tuple[int, int]], most: int) -> None:
    whole = trace_reads(some).blocks(BLOCK_SIZE, SIZE)
    assert trace_reads(some, most).blocks(BLOCK_SIZE, SIZE) == whole[:most]
    assert trace_reads(some).blocks(BLOCK_SIZE, SIZE, most) == whole[:most]


@given(reads())
def test_ranges_are_compact_and_do_not_overlap(some: list[tuple[int, int]]) -> None:
    ranges = trace_reads(some).ranges
    assert all(first + count != following for (first, count), (following, _) in pairwise(ranges))
    numbers = [number for first, count in ranges for number in range(first, first + count)]
    assert len(numbers) == len(set(numbers))


@given(reads(), st.sampled_from([512, 4096, 100_000, BLOCK_SIZE, 3 * BLOCK_SIZE, 16 * BLOCK_SIZE, 10**9]))
def test_blocks_of_another_size_cover_the_same_bytes(some: list[tuple[int, int]], block_size: int) -> None:
    trace = trace_reads(some)
    blocks = trace.blocks(block_size, SIZE)
    assert len(blocks) == len(set(blocks))
    assert all(0 <= block * block_size < SIZE for block in blocks)
    whole = [(n * BLOCK_SIZE, min(SIZE, (n + 1) * BLOCK_SIZE)) for n in trace.blocks(BLOCK_SIZE, SIZE)]
    expected = dict.fromkeys(
        block for start, stop in whole for block in range(start // block_size, (stop - 1) // block_size + 1)
    )
    assert blocks == list(expected)


@given(reads(), st.none() | st.integers(0, 40))
def test_byte_ranges_are_those_of_the_blocks(some: list[tuple[int, int]], most: int | None) -> None:
    trace = trace_reads(some)
    whole = [
        byte for each in trace.byte_ranges(SIZE, most) for byte in range(each.start, each.stop, BLOCK_SIZE)
    ]
    assert whole == [block * BLOCK_SIZE for block in trace.blocks(BLOCK_SIZE, SIZE, most)]
    assert all(each.start < each.stop <= SIZE for each in trace.byte_ranges(SIZE, most))


@given(reads())
def test_text_and_back(some: list[tuple[int, int]]) -> None:
    trace = trace_reads(some)
    assert BootTrace.of_text(trace.as_text()) == trace


@given(reads())
def test_an_order_knows_every_position(some: list[tuple[int, int]]) -> None:
    blocks = trace_reads(some).blocks(BLOCK_SIZE, SIZE)
    order = BlockOrder(blocks)
    assert len(order) == len(blocks)
    for block in range(SIZE // BLOCK_SIZE + 2):
        assert order.position_of(block) == (blocks.index(block) if block in blocks else None)
    assert [order.block_at(position) for position in range(len(order))] == blocks


def test_a_trace_is_bounded() -> None:
    trace = trace_reads([(0, (MAX_BLOCKS + 1) * BLOCK_SIZE)])
    assert trace.ranges == ((0, MAX_BLOCKS),)


def test_text_is_ranges() -> None:
    trace = trace_reads([(5 * BLOCK_SIZE, 7 * BLOCK_SIZE), (0, 1), (7 * BLOCK_SIZE, 7 * BLOCK_SIZE + 1)])
    assert trace.as_text() == "[[5,2],[0,1],[7,1]]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}x",
        "1",
        "[1]",
        "[[1]]",
        "[[1,2,3]]",
        "[[-1,1]]",
        "[[0,0]]",
        '[["a",1]]',
        "[[0,true]]",
        "[[0,65537]]",
    ],
)
def test_other_text_is_no_trace(text: str) -> None:
    with pytest.raises(BadTrace):
        BootTrace.of_text(text)
