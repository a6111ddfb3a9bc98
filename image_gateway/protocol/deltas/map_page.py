"""Pages of a delta's map, as clients get them: runs of blocks that differ from the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from image_gateway.protocol.deltas.delta_map import DeltaMap, Place

MAX_RUNS_PER_PAGE = 10_000
# A page ends behind so many places even if few of them changed, so that no request walks over a whole map.
MAX_PLACES_PER_PAGE = 100_000


@dataclass(frozen=True)
class ChangedRun:
    """A run of `count` blocks from `first` on that the delta holds, as data or as zeros."""

    first: int
    count: int
    is_zero: bool


@dataclass(frozen=True)
class MapPage:
    """Runs in ascending order; the next page begins at the block `next`, None at the end of the disk."""

    runs: Sequence[ChangedRun]
    next: int | None


def list_changes(found: DeltaMap, first: int, stop: int, since: int, limit: int) -> MapPage:
    """Return up to `limit` runs from block `first` to before `stop` that were written after `since`.

    With `since` 0 they are all that the delta holds; with another generation some may be older.
    """
    runs: list[ChangedRun] = []
    for seen, place in enumerate(found.places(first, stop)):
        if seen == MAX_PLACES_PER_PAGE:
            return MapPage(runs, place.block)
        if place.segment is None or place.segment.generation <= since:
            continue
        before = runs[-1] if runs else None
        if before is not None and _continues(before, place):
            runs[-1] = ChangedRun(before.first, before.count + place.length, before.is_zero)
        elif len(runs) == limit:
            return MapPage(runs, place.block)
        else:
            runs.append(ChangedRun(place.block, place.length, place.is_zero))
    return MapPage(runs, None)


def _continues(run: ChangedRun, place: Place) -> bool:
    return run.first + run.count == place.block and run.is_zero == place.is_zero
