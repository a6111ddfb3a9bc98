"""Leases: what they permit, to whom, and until when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a lease is for; neither includes the other."""

    DISK_READ = "disk:read"
    DISK_WRITE = "disk:write"


class WhenLapsed(StrEnum):
    """What readers by a lapsed lease are told: 401 at once, or 503 to wait while it can be renewed."""

    REFUSE = "refuse"
    WAIT = "wait"


class ChunksFrom(StrEnum):
    """Where a lease's path reads chunks: through the gateway, or by redirects to signed URLs of the CDN."""

    GATEWAY = "gateway"
    CDN = "cdn"


class HolderKind(StrEnum):
    """On whose behalf a lease holds: it ends with what its holder was allowed."""

    USER = "user"
    ADMIN = "admin"
    LINK = "link"
    ANYONE = "anyone"


@dataclass(frozen=True)
class Holder:
    """For whom a lease was made: a user or admin by id, a share link by id, anyone (of a public image)."""

    kind: HolderKind
    name: str = ""

    def as_text(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @staticmethod
    def of_text(text: str) -> Holder:
        kind, _, name = text.partition(":")
        return Holder(HolderKind(kind), name)


@dataclass(frozen=True)
class Lease:
    """A lease as it stands: renewals move `expires_at`, up to `session_ends_at`."""

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
