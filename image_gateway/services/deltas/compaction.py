"""Rewrites segments of which little is live, so that their objects can go.

A round reads some segments wholly and checks their CRCs, writes the live blocks to new segments, and then a
checkpoint that names these. Generation and contents stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import Delta, DeltaState
from image_gateway.domain.images import ImageRecord
from image_gateway.errors import StoreError
from image_gateway.protocol.deltas.compaction_plan import Victim, find_victims
from image_gateway.protocol.deltas.delta_map import DeltaMap, SegmentRef
from image_gateway.protocol.deltas.merging import Merged, merge_runs
from image_gateway.protocol.deltas.runs import Run
from image_gateway.protocol.deltas.segment import SegmentError, count_blocks, parse_segment
from image_gateway.services.deltas.checkpoints import (
    Checkpoints,
    Written,
    begin_recording,
    named_segment,
)
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.deltas.reachability import ObjectName
from image_gateway.services.deltas.stored_objects import read_object, write_segment
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

# Of live data that one round has in memory.
ROUND_BYTES = 32 * 1024 * 1024
# Rounds in a row in which another request wrote a checkpoint; then the delta is left to a later job.
ATTEMPTS = 3


@dataclass
class _Round:
    """What is read and written until one checkpoint."""

    old: list[Run] = field(default_factory=list)
    new: list[tuple[Run, SegmentRef]] = field(default_factory=list)
    segments: list[SegmentRef] = field(default_factory=list)


class Compaction:
    """Compacts one delta at a time; safe beside commits, resets, sweeps, and another compaction."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, maps: DeltaMaps, checkpoints: Checkpoints
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._maps = maps
        self._checkpoints = checkpoints

    def plan(self, delta: Delta, record: ImageRecord) -> tuple[list[Victim], int]:
        """Return the segments of the delta's newest map of which little is live, and all its live bytes."""
        newest = self._maps.newest(delta, record).merged()
        return find_victims(newest), newest.live_bytes

    def run(
        self,
        delta_id: str,
        record: ImageRecord,
        names: Collection[ObjectName],
        on_round: Callable[[int], None],
        check: Callable[[], None],
    ) -> None:
        """Rewrite segments with these names, as far as little of them is live still.

        Args:
            delta_id: The delta. Nothing is done if it is deleted.
            record: Its base.
            names: Segments that nothing else needs.
            on_round: Called with the bytes of the segments that were replaced, after each round.
            check: Called before each object; may raise to end the work.

        Raises:
            StoreError: A segment is damaged or missing; nothing was made of its data.
        """
        failures = 0
        while failures < ATTEMPTS:
            delta = self._catalog.deltas.find(delta_id)
            if delta is None or delta.state is DeltaState.DELETED:
                return
            before = self._maps.newest(delta, record)
            merged = before.merged()
            chosen = list(_first_round(merged, names))
            if not chosen:
                return
            until = begin_recording()
            work = _Round()
            try:
                written = self._write(delta, record, merged, chosen, work, until, check)
            except BaseException:
                self._checkpoints.discard(record, [named_segment(item) for item in work.segments])
                raise
            if self._checkpoints.install(delta, record, before, written, work.segments):
                failures = 0
                on_round(sum(victim.segment.size for victim in chosen))
            else:
                failures += 1

    def _write(
        self,
        delta: Delta,
        record: ImageRecord,
        merged: DeltaMap,
        chosen: Sequence[Victim],
        work: _Round,
        until: float,
        check: Callable[[], None],
    ) -> Written:
        """Write the new segments and the checkpoint; `work` has what was written when this fails."""
        work.old = list(merged.runs.with_data({victim.number for victim in chosen}))
        by_segment: dict[int, list[Run]] = {}
        for run in work.old:
            by_segment.setdefault(run.segment, []).append(run)
        data: dict[int, bytes] = {}
        for victim in chosen:
            check()
            body = self._read(delta, record, victim.segment)
            data |= {run.block: _cut(body, run, delta) for run in by_segment[victim.number]}
        for segment in merge_runs(delta.block_size, work.old, data):
            check()
            ref = self._put(delta, record, merged, segment)
            work.new += [(run.in_segment(len(work.segments)), ref) for run in segment.new]
            work.segments.append(ref)
        check()
        return self._checkpoints.write(record, delta.delta_id, merged.relocated(work.old, work.new), until)

    def _read(self, delta: Delta, record: ImageRecord, segment: SegmentRef) -> memoryview:
        """Return the data of a whole segment, after checking all of it."""
        key = record.location.delta_key(segment.delta_id, segment.name)
        body = read_object(self._store, key, pin=Pin(etag=segment.etag))
        blocks = count_blocks(delta.disk_size, delta.block_size)
        try:
            table = parse_segment(body, block_size=delta.block_size, blocks=blocks)
        except SegmentError as error:
            raise StoreError(f"the segment {segment.name} is damaged: {error}") from error
        return memoryview(body)[table.header_bytes :]

    def _put(self, delta: Delta, record: ImageRecord, merged: DeltaMap, segment: Merged) -> SegmentRef:
        name, etag = write_segment(
            self._store,
            record.location,
            delta.delta_id,
            segment.body,
            epoch=delta.epoch,
            generation=merged.generation,
        )
        # Which blocks were written since a generation is then told of more blocks, never of fewer.
        newest = max(merged.segments[run.segment].generation for run in segment.old)
        return SegmentRef(delta.delta_id, name, len(segment.body), etag, newest, segment.data_start)


def _first_round(merged: DeltaMap, names: Collection[ObjectName]) -> Iterator[Victim]:
    """Yield segments to rewrite together, those with the least live data first."""
    size = 0
    for victim in find_victims(merged):
        if ObjectName(victim.segment.delta_id, victim.segment.name) in names:
            size += victim.live_bytes
            if size > ROUND_BYTES:
                return
            yield victim


def _cut(data: memoryview, run: Run, delta: Delta) -> bytes:
    start = run.offset * delta.block_size
    return bytes(data[start : start + run.length * delta.block_size])
