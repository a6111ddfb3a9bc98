"""Blocks in memory: what was written last wins, as data or as a run of zeros."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from image_gateway.client.deltas import dirty
from image_gateway.client.deltas.dirty import DirtyBlocks
from image_gateway.protocol.deltas.segment import Extent, encode_segment

SIZE = 512
BLOCKS = 40


def block(fill: int) -> bytes:
    return bytes([fill]) * SIZE


def test_neighbours_are_one_extent() -> None:
    blocks = DirtyBlocks(SIZE)
    blocks.put(4, block(2))
    blocks.put(3, block(1))
    blocks.put(9, block(0))
    blocks.zero(7, 9)
    blocks.zero(10, 11)
    assert blocks.extents() == [Extent(3, 2, block(1) + block(2)), Extent(7, 4)]


def test_a_disk_of_terabytes_is_one_run(monkeypatch) -> None:
    blocks = DirtyBlocks(SIZE)
    blocks.put(5, block(1))
    blocks.zero(0, 2**40)
    blocks.put(6, block(1))
    assert (blocks.zero_runs, blocks.data_bytes, blocks.written_bytes) == (1, SIZE, (2**40 + 1) * SIZE)
    monkeypatch.setattr(dirty, "MAX_COUNT", 2**38)
    assert [(extent.block, extent.count) for extent in blocks.extents()] == [
        (0, 6),
        (6, 1),
        (7, 2**38),
        (7 + 2**38, 2**38),
        (7 + 2 * 2**38, 2**38),
        (7 + 3 * 2**38, 2**38 - 7),
    ]


WRITES = st.lists(st.tuples(st.integers(0, BLOCKS), st.integers(0, BLOCKS), st.integers(0, 2)), max_size=60)


@given(writes=WRITES)
def test_extents_are_what_was_written_last(writes: list[tuple[int, int, int]]) -> None:
    blocks, model = DirtyBlocks(SIZE), dict[int, bytes]()
    for first, stop, kind in writes:
        if kind == 0:
            if first < stop:
                blocks.zero(first, stop)
                model |= dict.fromkeys(range(first, stop), block(0))
        else:
            blocks.put(first, block(stop))
            model[first] = block(stop)
    assert {number: blocks.get(number) for number in range(BLOCKS + 1)} == {
        number: model.get(number) for number in range(BLOCKS + 1)
    }
    extents = blocks.extents()
    written = {
        extent.block + at: block(0) if extent.data is None else extent.data[at * SIZE : (at + 1) * SIZE]
        for extent in extents
        for at in range(extent.count)
    }
    assert written == model
    assert bool(blocks) == bool(model)
    assert all(extent.data is None or any(extent.data) for extent in extents)
    if extents:
        encode_segment(SIZE, extents)
