"""Users and links that an owner lets in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Permission(StrEnum):
    """What a share allows; `write` includes `read`."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True)
class Share:
    """A user who may read, or write to, an image."""

    image_id: str
    user: str
    permission: Permission
    created_at: datetime


@dataclass(frozen=True)
class ShareLink:
    """A link to an image; None is no limit. Its token is known to those who were given it."""

    link_id: str
    image_id: str
    created_at: datetime
    expires_at: datetime | None
    max_uses: int | None
    uses: int = 0
    revoked_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether leases made by it still hold; uses limit redemptions, not leases."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def is_redeemable(self, now: datetime) -> bool:
        return self.holds(now) and (self.max_uses is None or self.uses < self.max_uses)
