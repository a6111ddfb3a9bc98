"""Leases: short-lived permissions to read one version of an image, renewable and revocable."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from image_gateway.catalog.leases import LeaseRepository
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Delta
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.domain.leases import (
    ChunksFrom,
    Holder,
    HolderKind,
    Lease,
    LeasedDelta,
    Scope,
    WhenLapsed,
)
from image_gateway.domain.permissions import PERMISSIONS, Action, Role
from image_gateway.errors import Forbidden, LeaseExpired, LeaseRevoked, NotFound, Unauthenticated
from image_gateway.identity.lease_tokens import BadToken, LeaseClaims, LeaseTokens
from image_gateway.observability.audit import audit
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.reading.access import (
    Access,
    TtlCache,
    canonical_id,
    disk_of,
    holder_of,
    remaining_of,
)

READ_ONLY = frozenset({Scope.DISK_READ})
# A session's lease is reused during the first twelfth of its lifetime, as CloudFront's policies are.
REUSED_FOR = 12


@dataclass(frozen=True)
class LeaseRules:
    """Lifetimes in seconds: default, maximum, session (all renewals), and grace time for a late renewal.

    `admin_session` is the maximum session of an admin's lease for another user's image. A valid lease is
    cached for `remember` seconds.
    """

    ttl: int
    max_ttl: int
    session: int
    grace: int
    remember: float = 0
    admin_session: int = 3600


@dataclass(frozen=True)
class LeaseRequest:
    """What a caller asks of a lease of a delta; `ttl` in seconds, None for the default."""

    scopes: Collection[Scope]
    ttl: int | None = None
    when_lapsed: WhenLapsed = WhenLapsed.REFUSE


@dataclass(frozen=True)
class IssuedLease:
    """A lease with its image, and the token that carries it."""

    lease: Lease
    record: ImageRecord
    token: str = field(repr=False)


class Leases:
    """Creates, verifies, renews and revokes leases.

    A token is bound to image, version and scopes. Its expiry is in the catalog, so that a renewal does not
    change the URL and every worker sees a revocation at the next request.
    """

    def __init__(
        self,
        book: LeaseRepository,
        access: Access,
        tokens: LeaseTokens,
        rules: LeaseRules,
        trail: AuditTrail,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._access = access
        self._tokens = tokens
        self._rules = rules
        self._trail = trail
        self._clock = clock
        self._admitted: TtlCache[str, Lease] = TtlCache(rules.remember, timer)

    def make(
        self,
        image_id: str,
        caller: Caller,
        scopes: Collection[Scope],
        ttl: int | None,
        when_lapsed: WhenLapsed = WhenLapsed.REFUSE,
        *,
        record_reads: bool = False,
    ) -> IssuedLease:
        """Create a lease of at most the maximum lifetime; raises the errors of `Access.find_readable`.

        With `record_reads` the log has the byte range of each read by it.
        """
        record, _ = self._access.find_readable(image_id, caller, Action.LEASE)
        if Scope.DISK_WRITE in scopes:
            self._access.find(image_id, caller, Action.WRITE)
        holder = holder_of(caller, self._access.role_of(caller, record))
        draft = self._draft(record, holder, scopes, min(ttl or self._rules.ttl, self._rules.max_ttl))
        return self._add(replace(draft, when_lapsed=when_lapsed, record=record_reads), record)

    def make_for_session(
        self, record: ImageRecord, caller: Caller, chunks_from: ChunksFrom = ChunksFrom.GATEWAY
    ) -> IssuedLease:
        """Return a lease for a whole session: a recent one of the same holder, or a new one."""
        holder = holder_of(caller, self._access.role_of(caller, record))
        draft = self._draft(record, holder, READ_ONLY, self._rules.session)
        draft = replace(draft, chunks_from=chunks_from)
        new_enough = draft.created_at - (draft.session_ends_at - draft.created_at) / REUSED_FOR
        alike = self._book.find_alike(draft, made_after=new_enough)
        if alike is not None:
            return self._issue(alike, record)
        return self._add(draft, record)

    def make_for_delta(
        self, delta: Delta, record: ImageRecord, caller: Caller, leased: LeasedDelta, request: LeaseRequest
    ) -> IssuedLease:
        """Create a lease of a delta, on which the caller may do what the scopes say."""
        is_admin = caller.user != delta.owner
        holder = Holder(HolderKind.ADMIN if is_admin else HolderKind.USER, caller.user or "")
        ttl = min(request.ttl or self._rules.ttl, self._rules.max_ttl)
        draft = self._draft(record, holder, request.scopes, ttl)
        # Releases before deltas take it for a lease of another version, and refuse it.
        draft = replace(draft, delta=leased, version=delta.delta_id)
        return self._add(replace(draft, when_lapsed=request.when_lapsed), record)

    def make_for_link(self, record: ImageRecord, link_id: str, until: datetime | None) -> IssuedLease:
        """Create a lease for a redeemed share link; it expires with the link at the latest."""
        disk_of(record)
        draft = self._draft(record, Holder(HolderKind.LINK, link_id), READ_ONLY, self._rules.ttl, until)
        return self._add(draft, record)

    def identify(self, token: str) -> Lease:
        """Return the lease of a token, expired or not; raises Unauthenticated for an invalid token."""
        try:
            claims = self._tokens.verify(token)
        except BadToken:
            raise Unauthenticated("invalid lease token") from None
        lease = self._book.find(claims.lease_id)
        if lease is None or LeaseClaims.of(lease) != claims:
            raise LeaseExpired("the lease has expired: create a new one")
        return lease

    def admit(self, token: str) -> Lease:
        """Return the lease of a token if it is valid, or expired and waiting for its renewal.

        The only check of a lease's own validity. What the lease may read, and whether its renewal is still
        possible, is checked by `Access`.

        Raises:
            Unauthenticated: The token is invalid.
            LeaseRevoked: The lease was revoked.
            LeaseExpired: The lease has expired and does not wait.
        """
        recent = self._admitted.get(token)
        if recent is not None:
            return recent
        lease = self.identify(token)
        if lease.revoked_at is not None:
            raise LeaseRevoked("the lease was revoked")
        now = now_of(self._clock)
        if now < lease.expires_at:
            return self._admitted.put(token, lease, at_most=remaining_of(lease, self._clock))
        waits = lease.when_lapsed is WhenLapsed.WAIT
        if waits and now < min(self._grace_end(lease), lease.session_ends_at):
            return lease
        raise LeaseExpired("the lease has expired: renew it or create a new one")

    def renew(self, lease_id: str, caller: Caller) -> IssuedLease:
        """Extend a lease by its lifetime, up to the end of the session; token and URLs stay valid.

        Allowed for its holder, by identity, or by the lease itself until the grace time after its expiry.
        LeaseExpired after the end of the session; LeaseRevoked when the lease or the permission behind it was
        revoked; NotFound when it has another holder.
        """
        lease = self._find(lease_id)
        if lease is None or not caller.holds(lease):
            raise NotFound("there is no such lease")
        record = self._still_readable(lease)
        now = now_of(self._clock)
        if now >= lease.session_ends_at:
            raise LeaseExpired("the lease's session has ended: create a new lease")
        if caller.lease is not None and now >= self._grace_end(lease):
            raise LeaseExpired(
                "the lease expired too long ago to be renewed with its token: create a new one"
            )
        until = min(now + timedelta(seconds=lease.ttl_seconds), lease.session_ends_at)
        if lease.revoked_at is not None or not self._book.prolong(lease.lease_id, until):
            raise LeaseRevoked("the lease was revoked")
        renewed = self._book.find(lease.lease_id)
        return self._issue(renewed or lease, record)

    def revoke(self, lease_id: str, caller: Caller) -> None:
        """Revoke a lease, as its holder, the image's owner or an admin; idempotent."""
        lease = self._find(lease_id)
        if lease is None:
            raise NotFound("there is no such lease")
        role = None if caller.holds(lease) else self._role_in_revoking(lease, caller)
        if caller.user is None and lease.holder.kind is HolderKind.ANYONE:
            raise Forbidden(
                "all visitors of the public image share this lease: only the owner or an admin can revoke it"
            )
        if self._book.revoke(lease.lease_id, now_of(self._clock)):
            event, image_id = AuditEvent.LEASE_REVOKED, lease.image_id
            self._trail.note(event, image_id, user=caller.user, role=role, lease=lease.lease_id)

    def _grace_end(self, lease: Lease) -> datetime:
        return lease.expires_at + timedelta(seconds=self._rules.grace)

    def _find(self, lease_id: str) -> Lease | None:
        canonical = canonical_id(lease_id)
        return self._book.find(canonical) if canonical else None

    def _draft(
        self,
        record: ImageRecord,
        holder: Holder,
        scopes: Collection[Scope],
        ttl: int,
        until: datetime | None = None,
    ) -> Lease:
        # Whole seconds, as in tokens and responses.
        now = now_of(self._clock).replace(microsecond=0)
        is_admin = holder.kind is HolderKind.ADMIN
        session = min(self._rules.session, self._rules.admin_session) if is_admin else self._rules.session
        session_end = now + timedelta(seconds=session)
        session_end = min(session_end, until) if until else session_end
        return Lease(
            lease_id=str(uuid.uuid4()),
            image_id=record.image_id,
            version=record.version,
            scopes=frozenset(scopes),
            holder=holder,
            created_at=now,
            ttl_seconds=ttl,
            expires_at=min(now + timedelta(seconds=ttl), session_end),
            session_ends_at=session_end,
        )

    def _add(self, draft: Lease, record: ImageRecord) -> IssuedLease:
        self._book.add(draft)
        holder = draft.holder
        self._trail.note(
            AuditEvent.LEASE_CREATED,
            record.image_id,
            user=holder.name if holder.kind in (HolderKind.USER, HolderKind.ADMIN) else None,
            role=Role.ADMIN if holder.kind is HolderKind.ADMIN else None,
            link=holder.name if holder.kind is HolderKind.LINK else None,
            lease=draft.lease_id,
        )
        return self._issue(draft, record)

    def _issue(self, lease: Lease, record: ImageRecord) -> IssuedLease:
        return IssuedLease(lease, record, self._tokens.sign(LeaseClaims.of(lease)))

    def _still_readable(self, lease: Lease) -> ImageRecord:
        record = self._access.look_up(lease.image_id)
        if record is None or record.state is ImageState.DELETED or not self._access.is_current(lease, record):
            raise NotFound("there is no such image")
        disk_of(record)
        if Action.READ not in PERMISSIONS[self._access.role_of_holder(lease.holder, record)]:
            raise LeaseRevoked("the permission behind this lease was revoked")
        return record

    def _role_in_revoking(self, lease: Lease, caller: Caller) -> Role:
        """Return the role of a caller who may revoke the leases of others; raises NotFound."""
        record = self._access.look_up(lease.image_id)
        role = self._access.role_of(caller, record) if record and caller.user is not None else Role.STRANGER
        if role not in (Role.OWNER, Role.ADMIN):
            raise NotFound("there is no such lease")
        if role is Role.ADMIN:
            audit("admin action", user=caller.user, image=lease.image_id, action="revoke lease")
        return role
