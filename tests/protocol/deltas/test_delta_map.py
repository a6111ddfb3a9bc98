"""Tests of maps: any order of commits, merges, moves and checkpoints gives what a dictionary gives."""

import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.deltas.delta_map import (
    CheckpointError,
    DeltaMap,
    Place,
    SegmentRef,
    decode_checkpoint,
    encode_checkpoint,
)
from image_gateway.protocol.deltas.runs import Run
from image_gateway.protocol.deltas.segment import Extent, Table, encode_segment, parse_table

BLOCK = 512
BLOCKS = 80
# (gap before it, count, is zero)
COMMIT = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6), st.booleans()), min_size=1, max_size=6)
STEPS = st.lists(st.one_of(COMMIT, st.sampled_from(["merge", "store", "compact"])), min_size=1, max_size=20)


def make_commit(pieces: list[tuple[int, int, bool]]) -> Table:
    extents, at = [], 0
    for gap, count, is_zero in pieces:
        extents.append(Extent(at + gap, count, None if is_zero else bytes(count * BLOCK)))
        at += gap + count
    return parse_table(encode_segment(BLOCK, extents))


def ref(generation: int, name: str = "segment") -> SegmentRef:
    return SegmentRef("delta", f"{name}-{generation}", 1000, '"etag"', generation, 36)


def written_at(found: DeltaMap) -> dict[int, tuple[int, bool]]:
    """Return the generation that wrote each block, and whether it is zero."""
    return {
        place.block + index: (place.segment.generation, place.is_zero)
        for place in found.places(0, BLOCKS)
        if place.segment is not None
        for index in range(place.length)
    }


def compact(found: DeltaMap) -> DeltaMap:
    """Copy all data of the checkpoint into one new segment, which gets the newest generation."""
    found = found.merged()
    old = [run for run in found.runs.after(0) if not run.is_zero]
    new, offset = [], 0
    for run in old:
        new.append((Run(run.block, run.length, 0, offset), ref(found.generation, "merged")))
        offset += run.length
    return found.relocated(old, new)


@given(STEPS)
def test_maps_agree_with_a_dictionary(steps: list[object]) -> None:
    found, model, newest = DeltaMap.empty(BLOCK), dict[int, tuple[int, bool]](), 0
    for step in steps:
        if isinstance(step, list):
            newest += 1
            table = make_commit(step)
            found = found.committed(ref(newest), table)
            for entry in table.entries:
                blocks = range(entry.block, entry.block + entry.count)
                model |= dict.fromkeys(blocks, (newest, entry.data_start is None))
        elif step == "merge":
            found = found.merged()
        elif step == "store":
            found = decode_checkpoint(encode_checkpoint(found.merged()))
        else:
            found = compact(found)
            model = {block: (at if zero else newest, zero) for block, (at, zero) in model.items()}
        assert written_at(found) == model
        assert found.generation == newest
        check_places(found)


def check_places(found: DeltaMap) -> None:
    """Places cover all blocks once, and the segments that they need are named."""
    at, needed = 0, set(found.needed_segments())
    for place in found.places(0, BLOCKS):
        assert place.block == at
        assert place.length > 0
        at = place.stop
        assert place.segment is None or place.is_zero or place.segment in needed
    assert at == BLOCKS


def test_a_part_of_a_run_has_the_right_offset() -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(2, 4, False), (0, 3, False)]))
    assert list(found.places(4, 8)) == [Place(4, 4, ref(1), 2)]
    assert list(found.places(0, 3)) == [Place(0, 2), Place(2, 1, ref(1), 0)]
    assert found.live_bytes == 7 * BLOCK


def test_adjacent_recent_runs_leave_no_empty_place_of_the_run_below() -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(0, 8, False)])).merged()
    found = found.committed(ref(2), make_commit([(2, 1, False)])).committed(
        ref(3), make_commit([(3, 1, False)])
    )
    assert [(place.block, place.length) for place in found.places(0, 8)] == [(0, 2), (2, 1), (3, 1), (4, 4)]
    assert list(found.places(5, 5)) == []


def test_changes_are_those_after_a_generation() -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(0, 4, False)]))
    found = found.committed(ref(2), make_commit([(2, 1, True)]))
    assert [(place.block, place.length) for place in found.changes(0, BLOCKS, since=1)] == [(2, 1)]
    assert [place.block for place in found.changes(0, BLOCKS, since=0)] == [0, 2, 3]
    assert list(found.changes(0, BLOCKS, since=2)) == []


def test_a_segment_that_holds_nothing_is_forgotten_when_maps_are_merged() -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(0, 4, False)]))
    found = found.committed(ref(2), make_commit([(0, 4, False)])).committed(
        ref(3), make_commit([(9, 1, True)])
    )
    assert found.merged().needed_segments() == [ref(2)]
    # A run of zeros still tells when it was written, but needs no object.
    assert set(found.merged().segments.values()) == {ref(2), ref(3)}
    assert found.memory > found.merged().memory


@pytest.mark.parametrize("at", [0, 5, 9, 20, -1])
def test_a_damaged_checkpoint_is_noticed(at: int) -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(0, 4, False)]))
    data = bytearray(encode_checkpoint(found.merged()))
    data[at] ^= 1
    with pytest.raises(CheckpointError):
        decode_checkpoint(bytes(data))
    with pytest.raises(CheckpointError):
        decode_checkpoint(bytes(data[:9]))


@given(st.binary(max_size=60), st.integers(-3, 3))
def test_a_checkpoint_of_anything_is_refused_without_another_error(body: bytes, off: int) -> None:
    packed = zlib.compress(body)
    head = struct.pack("<4sII", b"IGM1", max(0, len(body) + off), zlib.crc32(packed))
    with pytest.raises(CheckpointError):
        decode_checkpoint(head + packed)


def test_a_checkpoint_names_all_segments_of_its_runs() -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(0, 4, False)])).merged()
    with pytest.raises(CheckpointError, match="does not name"):
        decode_checkpoint(encode_checkpoint(replace(found, segments={})))


def test_only_a_merged_map_is_a_checkpoint() -> None:
    found = DeltaMap.empty(BLOCK).committed(ref(1), make_commit([(0, 4, False)]))
    with pytest.raises(ValueError, match="merged"):
        encode_checkpoint(found)
