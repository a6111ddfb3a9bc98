"""The map of a delta at one generation: which segment holds each block, and what the base still gives.

A map has the runs of its checkpoint and, above them, those of the commits since, so that a commit costs no
copy of the whole map.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import NamedTuple

from image_gateway.protocol.deltas.runs import BYTES_PER_RUN, ZERO, Run, Runs
from image_gateway.protocol.deltas.segment import Table, is_block_size

MAGIC = b"IGM1"
# Runs of one map: 50 MB, which the cache of maps can hold. Random writes of 4 KiB reach it after 10 GB.
MAX_RUNS = 2_500_000
_HEADER = struct.Struct("<4sII")
_SIZES = struct.Struct("<QQI")
# Of an entry of a table in memory, about.
_BYTES_PER_ENTRY = 200


class CheckpointError(ValueError):
    """The bytes are no valid checkpoint."""


@dataclass(frozen=True)
class SegmentRef:
    """A segment in the store: the delta that wrote it, its name and size in bytes, and its ETag.

    `generation` is the newest commit in it; `data_start` is the offset of its data in bytes.
    """

    delta_id: str
    name: str
    size: int
    etag: str
    generation: int
    data_start: int


class Place(NamedTuple):
    """Where `length` blocks from `block` on are: in the base (`segment` is None), in a segment, or zeros.

    `offset` is in blocks of the segment's data.
    """

    block: int
    length: int
    segment: SegmentRef | None = None
    offset: int = 0

    @property
    def stop(self) -> int:
        return self.block + self.length

    @property
    def is_zero(self) -> bool:
        return self.segment is not None and self.offset == ZERO


@dataclass(frozen=True)
class DeltaMap:
    """The map at one generation; immutable.

    `runs` and `segments` are those of the checkpoint, `recent` and `recent_segments` those of the commits
    since. Both kinds of segments are numbered together. Tables of commits wait in `pending` until somebody
    reads the map: a writer that nobody reads pays for them once in a checkpoint.
    """

    block_size: int
    generation: int
    runs: Runs
    segments: Mapping[int, SegmentRef]
    older_recent: Runs
    recent_segments: Mapping[int, SegmentRef]
    pending: tuple[tuple[int, Table], ...] = ()

    @classmethod
    def empty(cls, block_size: int) -> DeltaMap:
        """Return the map of generation 0, in which every block is the base's."""
        return cls(block_size, 0, Runs(), {}, Runs(), {})

    @cached_property
    def recent(self) -> Runs:
        """The runs of the commits since the checkpoint."""
        return self.older_recent.overlaid(Runs.of_tables(self.pending)) if self.pending else self.older_recent

    @property
    def memory(self) -> int:
        """About how many bytes it takes in memory, at most."""
        segments = len(self.segments) + len(self.recent_segments)
        entries = sum(len(table.entries) for _, table in self.pending)
        runs = len(self.runs) + len(self.older_recent) + 2 * entries
        return runs * BYTES_PER_RUN + entries * _BYTES_PER_ENTRY + segments * 400

    def committed(self, segment: SegmentRef, table: Table) -> DeltaMap:
        """Return the map after the commit of a segment with this table."""
        number = self._next_number()
        is_merged = "recent" in vars(self)
        return replace(
            self,
            generation=segment.generation,
            older_recent=self.recent if is_merged else self.older_recent,
            recent_segments={**self.recent_segments, number: segment},
            pending=((number, table),) if is_merged else (*self.pending, (number, table)),
        )

    def merged(self) -> DeltaMap:
        """Return the same map with all its runs in the checkpoint, and without segments that hold nothing."""
        runs = self.runs.overlaid(self.recent)
        known = {**self.segments, **self.recent_segments}
        segments = {number: known[number] for number in runs.live_blocks()}
        return replace(
            self, runs=runs, segments=segments, older_recent=Runs(), recent_segments={}, pending=()
        )

    def at_generation(self, generation: int) -> DeltaMap:
        """Return a map with the same contents for another generation, or for another delta."""
        return replace(self, generation=generation)

    def relocated(self, old: Sequence[Run], new: Sequence[tuple[Run, SegmentRef]]) -> DeltaMap:
        """Return the merged map with runs whose data was copied to other segments.

        Args:
            old: The runs that were copied, ascending, with the numbers of this map.
            new: The counterpart of each, whose `segment` counts the new segments from 0.
        """
        merged = self.merged()
        first = self._next_number()
        numbered = [run.in_segment(first + run.segment) for run, _ in new]
        refs = {run.segment: ref for run, (_, ref) in zip(numbered, new, strict=True)}
        moved = replace(merged, runs=merged.runs.moved(old, numbered), segments={**merged.segments, **refs})
        return moved.merged()

    def places(self, first: int, stop: int) -> Iterator[Place]:
        """Yield where the blocks from `first` to before `stop` are, ascending and without gaps."""
        at = first
        for run in self.recent.find(first, stop):
            yield from self._older(at, run.block)
            yield self._place(run, self.recent_segments)
            at = run.stop
        yield from self._older(at, stop)

    def changes(self, first: int, stop: int, since: int) -> Iterator[Place]:
        """Yield the places that were written after the generation `since`, and perhaps some others."""
        for place in self.places(first, stop):
            if place.segment is not None and place.segment.generation > since:
                yield place

    def live_blocks(self) -> Mapping[int, int]:
        """Return the number of blocks of data that each segment of the checkpoint holds for it."""
        return self.runs.live_blocks()

    def needed_segments(self) -> Sequence[SegmentRef]:
        """Return the segments whose objects reads of this map may need."""
        live = [self.segments[number] for number, blocks in self.live_blocks().items() if blocks]
        return [*live, *self.recent_segments.values()]

    @property
    def live_bytes(self) -> int:
        """The bytes of data that it holds; those that recent commits replaced are counted twice."""
        blocks = sum(self.live_blocks().values()) + sum(self.recent.live_blocks().values())
        return blocks * self.block_size

    def _next_number(self) -> int:
        return max([-1, *self.segments, *self.recent_segments]) + 1

    def _older(self, first: int, stop: int) -> Iterator[Place]:
        at = first
        for run in self.runs.find(first, stop):
            if run.block > at:
                yield Place(at, run.block - at)
            yield self._place(run, self.segments)
            at = run.stop
        if at < stop:
            yield Place(at, stop - at)

    def _place(self, run: Run, segments: Mapping[int, SegmentRef]) -> Place:
        return Place(run.block, run.length, segments[run.segment], run.offset)


def encode_checkpoint(merged: DeltaMap) -> bytes:
    """Return the object of a map without recent commits."""
    if len(merged.recent):
        raise ValueError("only a merged map is a checkpoint")
    segments = {str(number): asdict(segment) for number, segment in merged.segments.items()}
    document = json.dumps({"blockSize": merged.block_size, "segments": segments}).encode()
    sizes = _SIZES.pack(merged.generation, len(merged.runs), len(document))
    body = b"".join([sizes, document, merged.runs.as_bytes()])
    packed = zlib.compress(body, 1)
    return _HEADER.pack(MAGIC, len(body), zlib.crc32(packed)) + packed


def decode_checkpoint(data: bytes) -> DeltaMap:
    """Return the map of a checkpoint's object; raises CheckpointError when it is damaged."""
    try:
        return _decode_body(memoryview(_unpack(data)))
    except (zlib.error, struct.error, KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, CheckpointError) else CheckpointError(str(error)) from error


def _unpack(data: bytes) -> bytes:
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise CheckpointError("it does not begin with IGM1")
    _, size, crc32 = _HEADER.unpack_from(data)
    packed = memoryview(data)[_HEADER.size :]
    if zlib.crc32(packed) != crc32:
        raise CheckpointError("its CRC-32 is wrong")
    unpacker = zlib.decompressobj()
    # No more memory than for what the header says.
    body = unpacker.decompress(packed, max(size, 1))
    if len(body) != size or not unpacker.eof:
        raise CheckpointError(f"it has other than {size} bytes")
    return body


def _decode_body(body: memoryview) -> DeltaMap:
    generation, count, document_size = _SIZES.unpack_from(body)
    start = _SIZES.size + document_size
    document = json.loads(bytes(body[_SIZES.size : start]))
    if not is_block_size(document["blockSize"]):
        raise CheckpointError(f"its block size is {document['blockSize']}")
    segments = {int(number): SegmentRef(**segment) for number, segment in document["segments"].items()}
    runs = Runs.from_bytes(body[start:], count)
    if not runs.segments() <= segments.keys():
        raise CheckpointError("its runs are in segments that it does not name")
    return DeltaMap(document["blockSize"], generation, runs, segments, Runs(), {})
