"""Shares images with users and by links, and revokes shares and links."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from image_gateway.catalog.shares import ShareRepository
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageRecord, ImageState, Visibility
from image_gateway.domain.permissions import Action
from image_gateway.domain.shares import Permission, Share, ShareLink
from image_gateway.errors import BadRequest, Forbidden, NotFound
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.leases import IssuedLease, Leases
from image_gateway.services.reading.access import Access, canonical_id, disk_of

LINK_PREFIX = "igs_"
TOKEN_BYTES = 32


@dataclass(frozen=True)
class NewLink:
    """A new link with its token, which cannot be shown again."""

    link: ShareLink
    token: str = field(repr=False)


@dataclass(frozen=True)
class SharingLimits:
    """The maximum numbers of shares and share links of one image."""

    shares: int
    links: int


class Sharing:
    """Manages shares and share links; a revocation takes effect at the next request."""

    def __init__(
        self,
        shares: ShareRepository,
        access: Access,
        leases: Leases,
        limits: SharingLimits,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._shares = shares
        self._access = access
        self._leases = leases
        self._limits = limits
        self._trail = trail
        self._clock = clock

    def share(self, image_id: str, caller: Caller, user: str, permission: Permission) -> Share:
        """Share an image with a user; repeating it changes the permission."""
        record = self._access.find(image_id, caller, Action.SHARE)
        if user == record.owner:
            raise BadRequest("user: an image cannot be shared with its owner")
        share = Share(record.image_id, user, permission, now_of(self._clock))
        self._shares.share(share, most=self._limits.shares)
        self._trail.note(
            AuditEvent.SHARED,
            record.image_id,
            user=caller.user,
            with_user=user,
            permission=permission.value,
        )
        self._note_made_shared(record, caller)
        return share

    def shares(self, image_id: str, caller: Caller, *, after: str, limit: int) -> Sequence[Share]:
        """Return the image's shares, ordered by user id."""
        record = self._access.find(image_id, caller, Action.SHARE)
        return self._shares.list_shares(record.image_id, after=after, limit=limit)

    def unshare(self, image_id: str, caller: Caller, user: str) -> None:
        """Revoke a user's share and the leases that depend on it; idempotent."""
        record = self._access.find(image_id, caller, Action.SHARE)
        if self._shares.unshare(record.image_id, user):
            event = AuditEvent.SHARE_REVOKED
            self._trail.note(event, record.image_id, user=caller.user, with_user=user)

    def make_link(
        self,
        image_id: str,
        caller: Caller,
        *,
        ttl: int | None,
        max_uses: int | None,
        label: str | None = None,
    ) -> NewLink:
        """Create a link by which anyone may read the image; `ttl` in seconds, None for no limit."""
        record = self._access.find(image_id, caller, Action.SHARE)
        token = LINK_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        now = now_of(self._clock)
        expires_at = now + timedelta(seconds=ttl) if ttl else None
        link = ShareLink(str(uuid.uuid4()), record.image_id, now, expires_at, max_uses, label=label)
        self._shares.add_link(link, _sha256(token), most=self._limits.links)
        event = AuditEvent.SHARE_LINK_CREATED
        self._trail.note(event, record.image_id, user=caller.user, link=link.link_id, label=label)
        self._note_made_shared(record, caller)
        return NewLink(link, token)

    def links(
        self, image_id: str, caller: Caller, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ShareLink]:
        """Return the image's links that were not revoked, oldest first."""
        record = self._access.find(image_id, caller, Action.SHARE)
        return self._shares.list_links(record.image_id, after=after, limit=limit)

    def revoke_link(self, image_id: str, caller: Caller, link_id: str) -> None:
        """Revoke a link and the leases that depend on it; idempotent."""
        record = self._access.find(image_id, caller, Action.SHARE)
        link = self._shares.find_link(canonical_id(link_id) or "")
        if link is None or link.image_id != record.image_id:
            raise NotFound("there is no such share link")
        if self._shares.revoke_link(link.link_id, now_of(self._clock)):
            event = AuditEvent.SHARE_LINK_REVOKED
            self._trail.note(event, record.image_id, user=caller.user, link=link.link_id)

    def redeem(self, token: str) -> IssuedLease:
        """Create a lease for the holder of a link's token.

        NotFound when the token is unknown; Forbidden when the link is revoked, expired or used up, or the
        image is private again; InvalidState while the image is not readable. A failure is not a use.
        """
        link = self._shares.find_link_by_token(_sha256(token))
        record = self._access.look_up(link.image_id) if link else None
        if link is None or record is None or record.state is ImageState.DELETED:
            raise NotFound("there is no such share link")
        now = now_of(self._clock)
        if not link.is_redeemable(now) or record.visibility is Visibility.PRIVATE:
            raise Forbidden("the share link is no longer valid: ask the owner for a new one")
        disk_of(record)
        if not self._shares.use_link(link.link_id, now):
            raise Forbidden("the share link is no longer valid: ask the owner for a new one")
        self._trail.note(AuditEvent.SHARE_LINK_REDEEMED, record.image_id, link=link.link_id)
        return self._leases.make_for_link(record, link.link_id, link.expires_at)

    def _note_made_shared(self, record: ImageRecord, caller: Caller) -> None:
        """Note that an image which was private is shared now."""
        if record.visibility is Visibility.PRIVATE:
            event, after = AuditEvent.VISIBILITY_CHANGED, Visibility.SHARED.value
            before = record.visibility.value
            self._trail.note(event, record.image_id, user=caller.user, before=before, after=after)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
