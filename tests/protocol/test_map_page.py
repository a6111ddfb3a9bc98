"""Pages of maps: every block once, in order, whatever the limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.deltas import map_page
from image_gateway.protocol.deltas.delta_map import DeltaMap, SegmentRef
from image_gateway.protocol.deltas.map_page import list_changes
from image_gateway.protocol.deltas.segment import Extent, encode_segment, parse_table

BLOCK, BLOCKS = 512, 40
COMMITS = st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 6), st.booleans()), max_size=12)


def build(commits: list[tuple[int, int, bool]]) -> tuple[DeltaMap, dict[int, tuple[int, bool]]]:
    """Return a map, and for each written block its generation and whether it is zeros."""
    found, model = DeltaMap.empty(BLOCK), dict[int, tuple[int, bool]]()
    for generation, (block, wanted, is_zero) in enumerate(commits, start=1):
        count = min(wanted, BLOCKS - block)
        data = None if is_zero else bytes(count * BLOCK)
        table = parse_table(encode_segment(BLOCK, [Extent(block, count, data)]))
        segment = SegmentRef("d", f"{generation}", 1, "e", generation, table.header_bytes)
        found = found.committed(segment, table)
        if generation % 5 == 0:
            found = found.merged()
        model |= {block + number: (generation, is_zero) for number in range(count)}
    return found, model


def listed(found: DeltaMap, since: int, limit: int) -> tuple[list[tuple[int, bool]], int]:
    """Return all blocks of all pages with their kinds, and the number of pages."""
    blocks: list[tuple[int, bool]] = []
    at: int | None = 0
    pages = 0
    while at is not None:
        page = list_changes(found, at, BLOCKS, since, limit)
        assert len(page.runs) <= limit
        assert page.next is None or page.next > at
        for run in page.runs:
            blocks += [(run.first + number, run.is_zero) for number in range(run.count)]
        at, pages = page.next, pages + 1
    return blocks, pages


@given(COMMITS, st.integers(0, 12), st.integers(1, 5))
def test_pages_are_the_model(commits: list[tuple[int, int, bool]], since: int, limit: int) -> None:
    found, model = build(commits)
    blocks, _ = listed(found, since, limit)
    expected = [(block, zero) for block, (generation, zero) in sorted(model.items()) if generation > since]
    assert blocks == expected


def test_neighbours_of_one_kind_are_one_run() -> None:
    found, _ = build([(1, 2, False), (3, 1, False), (4, 2, True)])
    page = list_changes(found, 0, BLOCKS, 0, 10)
    assert [(run.first, run.count, run.is_zero) for run in page.runs] == [(1, 3, False), (4, 2, True)]
    assert page.next is None


def test_a_page_ends_after_so_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_page, "MAX_PLACES_PER_PAGE", 3)
    found, model = build([(block, 1, False) for block in range(0, BLOCKS, 4)])
    blocks, pages = listed(found, 5, 1000)
    assert blocks == [(block, False) for block, (generation, _) in sorted(model.items()) if generation > 5]
    assert pages > 3
