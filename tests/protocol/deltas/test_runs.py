"""Tests of runs against a dictionary of blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.deltas.runs import ZERO, Run, Runs
from image_gateway.protocol.deltas.segment import Extent, Table, encode_segment, parse_table

BLOCK = 512
# (gap before it, count, is zero)
LAYER = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6), st.booleans()), min_size=1, max_size=12)
Model = dict[int, tuple[int, int]]


def make_table(pieces: list[tuple[int, int, bool]]) -> Table:
    """Return the table of a segment with these extents."""
    extents, at = [], 0
    for gap, count, is_zero in pieces:
        extents.append(Extent(at + gap, count, None if is_zero else bytes(count * BLOCK)))
        at += gap + count
    return parse_table(encode_segment(BLOCK, extents))


def make_layer(pieces: list[tuple[int, int, bool]], segment: int) -> Runs:
    """Return the runs of a segment with these extents."""
    return Runs.of_tables([(segment, make_table(pieces))])


def as_model(runs: Runs) -> Model:
    """Return segment and offset of each block."""
    return {
        run.block + index: (run.segment, ZERO if run.is_zero else run.offset + index)
        for run in runs.after(0)
        for index in range(run.length)
    }


@given(st.lists(LAYER, min_size=1, max_size=8))
def test_newer_runs_win(layers: list[list[tuple[int, int, bool]]]) -> None:
    runs, model = Runs(), Model()
    for segment, pieces in enumerate(layers):
        layer = make_layer(pieces, segment)
        runs = runs.overlaid(layer)
        model |= as_model(layer)
        assert as_model(runs) == model
        assert all(runs[index].stop <= runs[index + 1].block for index in range(len(runs) - 1))
        assert all(run.length > 0 for run in runs.after(0))


@given(st.lists(LAYER, min_size=1, max_size=4), st.integers(0, 60), st.integers(0, 60))
def test_a_part_is_found(layers: list[list[tuple[int, int, bool]]], one: int, other: int) -> None:
    runs = Runs()
    for segment, pieces in enumerate(layers):
        runs = runs.overlaid(make_layer(pieces, segment))
    first, stop = sorted((one, other))
    expected = {block: place for block, place in as_model(runs).items() if first <= block < stop}
    found = {
        run.block + index: (run.segment, ZERO if run.is_zero else run.offset + index)
        for run in runs.find(first, stop)
        for index in range(run.length)
    }
    assert found == expected
    assert all(run.length > 0 for run in runs.find(first, stop))
    behind = {block for run in runs.after(first) for block in range(run.block, run.stop)}
    assert behind == {block for block in as_model(runs) if block >= first}


@given(st.lists(LAYER, min_size=1, max_size=4))
def test_bytes_give_the_same_runs(layers: list[list[tuple[int, int, bool]]]) -> None:
    runs = Runs()
    for segment, pieces in enumerate(layers):
        runs = runs.overlaid(make_layer(pieces, segment))
    again = Runs.from_bytes(memoryview(runs.as_bytes()), len(runs))
    assert [again[index] for index in range(len(again))] == [runs[index] for index in range(len(runs))]
    with pytest.raises(ValueError, match="are not"):
        Runs.from_bytes(memoryview(runs.as_bytes()), len(runs) + 1)


@given(LAYER, LAYER, LAYER)
def test_only_what_still_stands_is_moved(
    first: list[tuple[int, int, bool]],
    second: list[tuple[int, int, bool]],
    newer: list[tuple[int, int, bool]],
) -> None:
    before = make_layer(first, 0).overlaid(make_layer(second, 1))
    old = [run for run in before.after(0) if run.segment == 0 and not run.is_zero]
    new = [Run(run.block, run.length, 9, 100 * number) for number, run in enumerate(old)]
    moves = {run.block + index: (9, run.offset + index) for run in new for index in range(run.length)}
    now = before.overlaid(make_layer(newer, 2))
    expected = {
        block: moves[block] if place[0] == 0 and place[1] != ZERO else place
        for block, place in as_model(now).items()
    }
    assert as_model(now.moved(old, new)) == expected


def test_runs_that_follow_each_other_are_joined() -> None:
    runs = Runs()
    for run in (Run(0, 2, 1, 0), Run(2, 3, 1, 2), Run(5, 1, 1, ZERO), Run(6, 2, 1, ZERO), Run(8, 1, 1, 9)):
        runs._append(*run)
    assert [runs[index] for index in range(len(runs))] == [
        Run(0, 5, 1, 0),
        Run(5, 3, 1, ZERO),
        Run(8, 1, 1, 9),
    ]


@given(st.lists(LAYER, min_size=1, max_size=8))
def test_tables_merged_at_once_are_as_one_by_one(layers: list[list[tuple[int, int, bool]]]) -> None:
    tables = [(number, make_table(pieces)) for number, pieces in enumerate(layers)]
    one_by_one = Runs()
    for number, table in tables:
        one_by_one = one_by_one.overlaid(Runs.of_tables([(number, table)]))
    at_once = Runs.of_tables(tables)
    assert as_model(at_once) == as_model(one_by_one)
    assert all(at_once[index].stop <= at_once[index + 1].block for index in range(len(at_once) - 1))
    assert all(run.length > 0 for run in at_once.after(0))
