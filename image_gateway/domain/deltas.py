"""Deltas: what a guest wrote, over one version of an image that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from image_gateway.protocol.deltas.segment import header_bytes

# Commits between two checkpoints: what a reader has to fetch besides one of them.
COMMITS_PER_CHECKPOINT = 64
# The same for their extents, which a reader keeps in memory.
EXTENTS_PER_CHECKPOINT = 131_072
# How long an object stays in the store after no generation that can be asked for needs it: running reads of
# an older generation go on for so long. Also how old an object that no row names becomes.
GARBAGE_AGE = timedelta(hours=1)
# From reading the rows and maps of a delta to recording objects that were made from them. Far shorter than
# GARBAGE_AGE, so that nothing is deleted that is about to be recorded.
RECORDED_WITHIN = timedelta(minutes=15)


class DeltaState(StrEnum):
    """The state of a delta; deleted ones remain as records until they have no objects left."""

    ACTIVE = "active"
    DELETED = "deleted"


class CommitKind(StrEnum):
    """What made a generation."""

    COMMIT = "commit"
    RESET = "reset"


@dataclass(frozen=True)
class Parent:
    """The delta from which another was forked, and its generation then."""

    delta_id: str
    generation: int


@dataclass(frozen=True)
class Delta:
    """One delta.

    `generation` counts commits and resets, `epoch` sessions: only the writer of the newest one may commit.
    `checkpoint` is the name of the object with the map at `checkpoint_generation`, or None before the first.
    `recent_extents` counts extents of commits since that was recorded. Since `reset_generation` no block
    became the base's again. `stored_bytes` are those of its objects, of which at most `live_bytes` are in use
    still: what commits since the checkpoint replaced is counted twice.
    """

    delta_id: str
    image_id: str
    version: str
    disk_size: int
    owner: str
    name: str
    block_size: int
    created_at: datetime
    updated_at: datetime
    generation: int = 0
    epoch: int = 0
    state: DeltaState = DeltaState.ACTIVE
    live_bytes: int = 0
    stored_bytes: int = 0
    parent: Parent | None = None
    checkpoint: str | None = None
    checkpoint_generation: int = 0
    checkpoint_size: int = 0
    recent_extents: int = 0
    reset_generation: int = 0
    purged_at: datetime | None = None

    @property
    def etag(self) -> str:
        """The ETag of the record: its generation."""
        return f'"{self.generation}"'


@dataclass(frozen=True)
class Commit:
    """What made one generation; its segment's name, size in bytes, ETag and number of extents.

    `sha256` is that of the segment in hex, `blocks` are those it wrote. A reset has no segment.
    """

    generation: int
    epoch: int
    kind: CommitKind
    name: str
    size: int
    etag: str
    extents: int
    blocks: int
    sha256: str
    idempotency_key: str
    created_at: datetime

    @property
    def data_bytes(self) -> int:
        """The bytes of its segment without header and table."""
        return self.size - header_bytes(self.extents) if self.kind is CommitKind.COMMIT else 0


@dataclass(frozen=True)
class Snapshot:
    """A generation that is kept, with a name and a checkpoint of its own, of `size` bytes."""

    snapshot_id: str
    delta_id: str
    name: str
    generation: int
    checkpoint: str
    size: int
    created_at: datetime


@dataclass(frozen=True)
class NamedObject:
    """An object of a delta by its name, with its size in bytes."""

    delta_id: str
    name: str
    size: int
