"""Which objects of an image's deltas are needed: by what can be asked for, and by reads that still run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import GARBAGE_AGE, CommitKind, Delta, DeltaState, Snapshot
from image_gateway.domain.images import ImageRecord
from image_gateway.services.deltas.maps import DeltaMaps, find_all_commits
from image_gateway.storage.objects import ObjectStore


class ObjectName(NamedTuple):
    """The delta in whose folder an object is, and its name there."""

    delta_id: str
    name: str


@dataclass(frozen=True)
class StoredObject:
    """An object below the prefix of an image's deltas; its size in bytes, and when the store wrote it."""

    key: str
    name: ObjectName
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class Root:
    """A delta's row or a snapshot: its checkpoint, which names more objects, and the commits since."""

    delta_id: str
    checkpoint: str | None
    commits: tuple[str, ...] = ()
    snapshot: Snapshot | None = None


class Reachability:
    """Finds roots in the catalog, and what they need in their checkpoints."""

    def __init__(self, catalog: Catalog, store: ObjectStore) -> None:
        self._catalog = catalog
        self._store = store
        # Checkpoints are read past its cache.
        self._maps = DeltaMaps(catalog, store, cache_bytes=0)

    def listed(self, record: ImageRecord) -> list[StoredObject]:
        """Return all objects of an image's deltas, known or not."""
        prefix, found = record.location.deltas_prefix, []
        for item in self._store.list_objects(prefix):
            delta_id, _, name = item.key.removeprefix(prefix).partition("/")
            found.append(StoredObject(item.key, ObjectName(delta_id, name), item.size, item.last_modified))
        return found

    def roots(self, deltas: Sequence[Delta], now: datetime) -> list[Root]:
        """Return the roots of an image's deltas; deleted ones are roots for an hour, for reads that run.

        What is no root any more by the time of this call has been retired before its end.
        """
        return [root for delta in deltas if not is_over(delta, now) for root in self._roots_of(delta)]

    def needed(self, record: ImageRecord, root: Root) -> set[ObjectName]:
        """Return the objects that a root needs. Raises StoreError, also if its checkpoint is gone."""
        found = {ObjectName(root.delta_id, name) for name in root.commits}
        if root.checkpoint is not None:
            found.add(ObjectName(root.delta_id, root.checkpoint))
            contents = self._maps.read_checkpoint(record, root.delta_id, root.checkpoint)
            found |= {ObjectName(item.delta_id, item.name) for item in contents.needed_segments()}
        return found

    def _roots_of(self, delta: Delta) -> list[Root]:
        # Some are missing if another sweeper forgot them, after a checkpoint that is newer than this row.
        commits = find_all_commits(
            self._catalog, delta.delta_id, after=delta.checkpoint_generation, upto=delta.generation
        )
        names = tuple(commit.name for commit in commits if commit.kind is CommitKind.COMMIT)
        kept = self._catalog.delta_objects.snapshots(delta.delta_id)
        return [
            Root(delta.delta_id, delta.checkpoint, names),
            *(Root(delta.delta_id, item.checkpoint, snapshot=item) for item in kept),
        ]


def is_over(delta: Delta, now: datetime) -> bool:
    """Return whether a delta was deleted so long ago that no read of it runs any more."""
    return delta.state is DeltaState.DELETED and delta.updated_at <= now - GARBAGE_AGE
