"""Shares with users, and share links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Permission(StrEnum):
    """The permission of a share; `write` includes `read`."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True)
class Share:
    """A user's permission to read or write an image."""

    image_id: str
    user: str
    permission: Permission
    created_at: datetime


@dataclass(frozen=True)
class ShareLink:
    """A link to an image; None is unlimited. Its token is known only to those who received the link.

    `label` reminds the owner whom the link was made for.
    """

    link_id: str
    image_id: str
    created_at: datetime
    expires_at: datetime | None
    max_uses: int | None
    uses: int = 0
    revoked_at: datetime | None = None
    label: str | None = None

    def holds(self, now: datetime) -> bool:
        """Return whether leases created by the link are valid; `max_uses` limits redemptions, not leases."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def is_redeemable(self, now: datetime) -> bool:
        """Return whether the link can be redeemed."""
        return self.holds(now) and (self.max_uses is None or self.uses < self.max_uses)
