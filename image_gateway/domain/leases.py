"""Leases: temporary permissions on one image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a lease permits; neither scope includes the other."""

    DISK_READ = "disk:read"
    DISK_WRITE = "disk:write"


class WhenLapsed(StrEnum):
    """The response to readers with an expired lease: 401 at once, or 503 while it can be renewed."""

    REFUSE = "refuse"
    WAIT = "wait"


class ChunksFrom(StrEnum):
    """Where readers with a lease get chunks: from the gateway, or by redirects to signed CDN URLs."""

    GATEWAY = "gateway"
    CDN = "cdn"


class HolderKind(StrEnum):
    """On whose permission a lease is based; it ends when that permission ends."""

    USER = "user"
    ADMIN = "admin"
    LINK = "link"
    ANYONE = "anyone"


@dataclass(frozen=True)
class Holder:
    """The holder of a lease: a user, admin or share link with its id, or anyone (for a public image)."""

    kind: HolderKind
    name: str = ""

    def as_text(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @staticmethod
    def of_text(text: str) -> Holder:
        kind, _, name = text.partition(":")
        return Holder(HolderKind(kind), name)


@dataclass(frozen=True)
class LeasedDelta:
    """The delta that a lease is for: its newest generation, or the one given.

    `epoch` is that of the writer's session, None for a reader.
    """

    delta_id: str
    generation: int | None = None
    epoch: int | None = None


@dataclass(frozen=True)
class Lease:
    """A lease with its current expiry: renewals extend `expires_at` up to `session_ends_at`.

    With `record` the log has the byte range of each read, for `image-gateway trace`. With `delta` it permits
    nothing of the image but what the delta's disk shows of it.
    """

    lease_id: str
    image_id: str
    version: str
    scopes: Collection[Scope]
    holder: Holder
    created_at: datetime
    ttl_seconds: int
    expires_at: datetime
    session_ends_at: datetime
    revoked_at: datetime | None = None
    when_lapsed: WhenLapsed = WhenLapsed.REFUSE
    chunks_from: ChunksFrom = ChunksFrom.GATEWAY
    record: bool = False
    delta: LeasedDelta | None = None
