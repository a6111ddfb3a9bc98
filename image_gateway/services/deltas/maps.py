"""Loads the maps of deltas: a checkpoint, and the tables of the commits since, from the store or memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from cachetools import LRUCache

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import Commit, CommitKind, Delta
from image_gateway.domain.images import ImageRecord
from image_gateway.errors import NotFound, StoreError
from image_gateway.protocol.deltas.delta_map import (
    CheckpointError,
    DeltaMap,
    SegmentRef,
    decode_checkpoint,
)
from image_gateway.protocol.deltas.segment import SegmentError, Table, header_bytes, parse_table
from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.deltas.stored_objects import read_object
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

# Of maps in the memory of one process.
CACHE_BYTES = 64 * 1024 * 1024
_MAP_OVERHEAD = 2048
_FETCHED_AT_ONCE = 8
_LOCKS = 16

# Delta, name of the checkpoint, generation. A map is cached for its checkpoint only: objects that another
# checkpoint names may be deleted.
_Key = tuple[str, str | None, int]


@dataclass(frozen=True)
class _Start:
    """Where loading begins: a checkpoint by name, or None for the base as it is, at a generation."""

    checkpoint: str | None
    generation: int


class DeltaMaps:
    """Returns maps of deltas. Raises StoreError and StoreUnavailable like the store, and for damage."""

    def __init__(self, catalog: Catalog, store: ObjectStore, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._catalog = catalog
        self._store = store
        self._cache: LRUCache[_Key, DeltaMap] = LRUCache(
            cache_bytes, getsizeof=lambda found: found.memory + _MAP_OVERHEAD
        )
        self._newest: dict[str, _Key] = {}
        self._lock = threading.Lock()
        # One load of a map at a time, or many requests would have many copies in memory.
        self._loading = [threading.Lock() for _ in range(_LOCKS)]

    def newest(self, delta: Delta, record: ImageRecord) -> DeltaMap:
        """Return the map at the delta's generation."""
        return self.at(delta, record, delta.generation)

    def at(self, delta: Delta, record: ImageRecord, generation: int) -> DeltaMap:
        """Return the map at a generation; raises NotFound if it is not kept."""
        start = self._find_start(delta, generation)
        key = (delta.delta_id, start.checkpoint, generation)
        found = self._get(key)
        if found is not None:
            return found
        with self._loading[hash(delta.delta_id) % _LOCKS]:
            found = self._get(key)
            return (
                found if found is not None else self._put(key, self._load(delta, record, start, generation))
            )

    def add_commit(self, delta: Delta, segment: SegmentRef, table: Table) -> None:
        """Make the map of a delta's new commit from the one before it, if that is in memory."""
        before = self._get((delta.delta_id, delta.checkpoint, segment.generation - 1))
        if before is None and delta.checkpoint is None and segment.generation == 1:
            before = DeltaMap.empty(delta.block_size)
        if before is not None:
            key = (delta.delta_id, delta.checkpoint, segment.generation)
            self._put(key, before.committed(segment, table))

    def add_checkpoint(self, delta_id: str, checkpoint: str, found: DeltaMap) -> None:
        """Keep the map that was written to a checkpoint."""
        self._put((delta_id, checkpoint, found.generation), found)

    def read_checkpoint(self, record: ImageRecord, delta_id: str, name: str) -> DeltaMap:
        """Return the map in a checkpoint's object."""
        key = record.location.delta_key(delta_id, name)
        try:
            found = decode_checkpoint(self._read(key, None, Pin()))
        except CheckpointError as error:
            raise StoreError(f"the checkpoint {name} is damaged: {error}") from error
        if not name.startswith(checkpoint_prefix(found.generation)):
            raise StoreError(f"the checkpoint {name} is damaged: it is another one")
        return found

    def _find_start(self, delta: Delta, generation: int) -> _Start:
        if generation > delta.generation or generation < 0:
            raise NotFound(f"there is no generation {generation}: the newest is {delta.generation}")
        if delta.checkpoint_generation <= generation:
            return _Start(delta.checkpoint, delta.checkpoint_generation)
        for snapshot in self._catalog.delta_objects.snapshots(delta.delta_id):
            if snapshot.generation == generation:
                return _Start(snapshot.checkpoint, generation)
        if generation == 0 and delta.parent is None:
            return _Start(None, 0)
        raise NotFound(f"generation {generation} is no longer kept: make a snapshot of one to keep it")

    def _load(self, delta: Delta, record: ImageRecord, start: _Start, generation: int) -> DeltaMap:
        found = self._nearest(delta, start, generation)
        after = found.generation if found is not None else start.generation
        commits = find_all_commits(self._catalog, delta.delta_id, after=after, upto=generation)
        if found is None and start.checkpoint is not None:
            found, tables = self._read_together(delta, record, start.checkpoint, commits)
        else:
            tables = self.read_tables(delta, record, commits)
        found = found or DeltaMap.empty(delta.block_size)
        if found.generation != after:
            raise StoreError(f"a checkpoint of delta {delta.delta_id} is not of generation {after}")
        for segment, table in tables:
            found = found.committed(segment, table)
        return found

    def _read_together(
        self, delta: Delta, record: ImageRecord, checkpoint: str, commits: Sequence[Commit]
    ) -> tuple[DeltaMap, Sequence[tuple[SegmentRef, Table]]]:
        """Return a checkpoint's map and the tables of the commits since, read at the same time."""
        with ThreadPoolExecutor(1, "checkpoint") as pool:
            found = pool.submit(self.read_checkpoint, record, delta.delta_id, checkpoint)
            tables = self.read_tables(delta, record, commits)
            return found.result(), tables

    def read_tables(
        self, delta: Delta, record: ImageRecord, commits: Sequence[Commit]
    ) -> Sequence[tuple[SegmentRef, Table]]:
        """Return the segments of commits and their tables, some read at a time."""

        def read(number: int) -> tuple[SegmentRef, Table]:
            commit = commits[number]
            segment = segment_of(delta.delta_id, commit)
            key, head = (
                record.location.delta_key(delta.delta_id, commit.name),
                ByteRange(0, segment.data_start),
            )
            try:
                return segment, parse_table(self._read(key, head, Pin(etag=commit.etag)))
            except SegmentError as error:
                raise StoreError(f"the segment {commit.name} is damaged: {error}") from error

        if any(commit.kind is not CommitKind.COMMIT for commit in commits):
            raise StoreError(f"a reset of delta {delta.delta_id} has no checkpoint")
        with closing(map_ordered(read, len(commits), _FETCHED_AT_ONCE)) as tables:
            return list(tables)

    def _nearest(self, delta: Delta, start: _Start, generation: int) -> DeltaMap | None:
        """Return a map in memory, of the same checkpoint, to which only the newer commits must be added."""
        with self._lock:
            key = self._newest.get(delta.delta_id)
            if key is None or key[1] != start.checkpoint or key[2] > generation:
                return None
            return self._cache.get(key)

    def _get(self, key: _Key) -> DeltaMap | None:
        with self._lock:
            return self._cache.get(key)

    def _put(self, key: _Key, found: DeltaMap) -> DeltaMap:
        with self._lock:
            if found.memory + _MAP_OVERHEAD <= self._cache.maxsize:
                self._cache[key] = found
                before = self._newest.get(key[0])
                if before is None or before[2] <= key[2]:
                    # Few ask for the generation before; bodies that are sent have its map.
                    if before is not None and before != key:
                        self._cache.pop(before, None)
                    self._newest[key[0]] = key
                if len(self._newest) > 2 * len(self._cache) + 1024:
                    self._newest = {
                        delta: newest for delta, newest in self._newest.items() if newest in self._cache
                    }
        return found

    def _read(self, key: str, byte_range: ByteRange | None, pin: Pin) -> bytes:
        return read_object(self._store, key, byte_range=byte_range, pin=pin)


def find_all_commits(catalog: Catalog, delta_id: str, *, after: int, upto: int) -> Sequence[Commit]:
    """Return the commits behind a generation up to another; raises StoreError if one is missing."""
    commits = catalog.deltas.find_commits(delta_id, after=after, upto=upto)
    if [commit.generation for commit in commits] != list(range(after + 1, upto + 1)):
        raise StoreError(f"the catalog lacks commits of delta {delta_id}")
    return commits


def checkpoint_prefix(generation: int) -> str:
    """Return how the names of checkpoints of a generation begin."""
    return f"{generation:012x}-"


def segment_of(delta_id: str, commit: Commit) -> SegmentRef:
    """Return the segment of a commit."""
    return SegmentRef(
        delta_id, commit.name, commit.size, commit.etag, commit.generation, header_bytes(commit.extents)
    )
