"""Permissions: finds an image for a caller who may perform an action on it."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TLRUCache

from image_gateway.catalog.repository import Catalog
from image_gateway.catalog.shares import ShareRepository
from image_gateway.domain.callers import NOBODY, Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import DeltaState
from image_gateway.domain.images import DiskFacts, ImageRecord, ImageState, Visibility
from image_gateway.domain.leases import Holder, HolderKind, Lease, Scope
from image_gateway.domain.permissions import PERMISSIONS, Action, Role
from image_gateway.domain.shares import Permission
from image_gateway.errors import (
    Forbidden,
    GatewayError,
    InvalidState,
    LeaseLapsed,
    LeaseRevoked,
    NotFound,
    Unauthenticated,
)
from image_gateway.observability.audit import audit

MAX_ENTRIES = 4096
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
# Image, user, admin, lease. A renewal changes only the expiry of a lease, so its id identifies it.
_Reader = tuple[str, str | None, bool, str | None]

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Access:
    """Finds images that callers may use.

    A permission to read is cached for `remember` seconds. With `hide_foreign` an image that the caller may
    not see is reported as missing.
    """

    def __init__(
        self,
        catalog: Catalog,
        shares: ShareRepository,
        *,
        hide_foreign: bool,
        remember: float,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._readers: TtlCache[_Reader, tuple[ImageRecord, DiskFacts]] = TtlCache(remember, timer)
        self._remember = remember
        self._catalog = catalog
        self._shares = shares
        self._hide_foreign = hide_foreign
        self._clock = clock

    def find(self, image_id: str, caller: Caller, action: Action) -> ImageRecord:
        """Return an image on which the caller may perform the action.

        Raises:
            NotFound: There is no such image, or it was deleted.
            Unauthenticated: The caller sent no credentials.
            Forbidden: The caller may not do this, or the lease is for something else.
        """
        return self.find_with_role(image_id, caller, action)[0]

    def find_with_role(self, image_id: str, caller: Caller, action: Action) -> tuple[ImageRecord, Role]:
        """Like `find`, with the role by which the caller may; the holder of a lease is a reader."""
        if caller.lease is not None:
            return self._find_leased(image_id, caller.lease, action), Role.READER
        record = self.look_up(image_id)
        if record is None or record.state is ImageState.DELETED:
            raise self._not_signed_in() if caller.is_nobody else NotFound("there is no such image")
        role = self.role_of(caller, record)
        if action not in PERMISSIONS[role]:
            raise self._refusal(caller, role, action)
        if role is Role.ADMIN:
            audit("admin action", user=caller.user, image=record.image_id, action=action.value)
        return record, role

    def find_even_deleted(self, image_id: str, caller: Caller, action: Action) -> ImageRecord:
        """Like `find`, but owners and admins find deleted images too."""
        record = self.look_up(image_id)
        if record is not None and record.state is ImageState.DELETED and caller.lease is None:
            role = self.role_of(caller, record)
            if role in (Role.OWNER, Role.ADMIN) and action in PERMISSIONS[role]:
                return record
        return self.find(image_id, caller, action)

    def find_readable(
        self, image_id: str, caller: Caller, action: Action = Action.READ
    ) -> tuple[ImageRecord, DiskFacts]:
        """Return an image like `find`, and its disk; raises InvalidState while it is not complete."""
        record = self.find(image_id, caller, action)
        return record, disk_of(record)

    def find_for_reading(self, image_id: str, caller: Caller) -> tuple[ImageRecord, DiskFacts]:
        """Like `find_readable`, but may return a cached record and permission."""
        image_id = canonical_id(image_id) or ""
        reader = _reader_of(image_id, caller)
        recent = self._readers.get(reader)
        if recent is not None:
            return recent
        found = self.find_readable(image_id, caller)
        seconds = self.seconds_to_remember(caller)
        return self._readers.put(reader, found, at_most=seconds) if seconds > 0 else found

    def seconds_to_remember(self, caller: Caller) -> float:
        """Return for how many seconds the caller's permission may be cached; 0 for not at all."""
        if caller.admin or (caller.lease is not None and caller.lease.holder.kind is HolderKind.ADMIN):
            # Each read by an admin must be in the audit log.
            return 0
        return max(0.0, min(self._remember, self.seconds_left(caller)))

    def seconds_left(self, caller: Caller) -> float:
        """Return the seconds until the caller's lease expires; infinity without a lease."""
        return math.inf if caller.lease is None else remaining_of(caller.lease, self._clock)

    def may_still_read(self, record: ImageRecord, caller: Caller) -> bool:
        """Return whether a body that this caller began to read may be continued; always asks the catalog.

        Returns False when the image was deleted or the permission was revoked. An expired lease does not end
        a body: like CloudFront, the gateway checks lifetimes when a request begins.
        """
        current = self._catalog.find(record.image_id)
        if current is None or current.state is ImageState.DELETED or current.version != record.version:
            return False
        if caller.lease is None:
            role = self.role_of(caller, current)
        else:
            lease = self._catalog.leases.find(caller.lease.lease_id)
            if lease is None or lease.revoked_at is not None:
                return False
            role = self.role_of_holder(lease.holder, current)
        return Action.READ in PERMISSIONS[role]

    def look_up(self, image_id: str) -> ImageRecord | None:
        """Return the record for an id from a client, without a permission check."""
        canonical = canonical_id(image_id)
        return self._catalog.find(canonical) if canonical else None

    def is_current(self, lease: Lease, record: ImageRecord) -> bool:
        """Return whether what a lease is for, an image or a delta of it, is still there at its version."""
        if lease.delta is None:
            return lease.version == record.version
        delta = self._catalog.deltas.find(lease.delta.delta_id)
        return delta is not None and delta.state is DeltaState.ACTIVE and delta.version == record.version

    def role_of(self, caller: Caller, record: ImageRecord) -> Role:
        """Return the role of a caller without a lease. Shares count unless the image is private."""
        if caller.user is not None and caller.user == record.owner:
            return Role.OWNER
        if caller.admin:
            return Role.ADMIN
        shared = None
        if caller.user is not None and record.visibility is not Visibility.PRIVATE:
            shared = self._shares.find_permission(record.image_id, caller.user)
        if shared is not None:
            return Role.WRITER if shared is Permission.WRITE else Role.READER
        return Role.ANYONE if record.visibility is Visibility.PUBLIC else Role.STRANGER

    def role_of_holder(self, holder: Holder, record: ImageRecord) -> Role:
        """Return the current role of the holder of a lease; links count unless the image is private."""
        if holder.kind is not HolderKind.LINK:
            return self.role_of(_caller_of(holder), record)
        link = self._shares.find_link(holder.name)
        stands = link is not None and link.image_id == record.image_id and link.holds(now_of(self._clock))
        return Role.READER if stands and record.visibility is not Visibility.PRIVATE else Role.STRANGER

    def _find_leased(self, image_id: str, lease: Lease, action: Action) -> ImageRecord:
        if canonical_id(image_id) != lease.image_id or lease.delta is not None:
            raise Forbidden("the lease is for another disk")
        if action is not Action.READ or Scope.DISK_READ not in lease.scopes:
            raise Forbidden(f"the lease does not permit this, only {' and '.join(sorted(lease.scopes))}")
        record = self.look_up(image_id)
        if record is None or record.state is ImageState.DELETED:
            raise NotFound("there is no such image")
        if record.version != lease.version:
            raise Forbidden("the lease is for another version of the image")
        if Action.READ not in PERMISSIONS[self.role_of_holder(lease.holder, record)]:
            raise LeaseRevoked("the permission behind this lease was revoked")
        self.require_unexpired(lease)
        if lease.holder.kind is HolderKind.ADMIN:
            audit(
                "admin action",
                user=lease.holder.name,
                image=record.image_id,
                lease=lease.lease_id,
                action="read",
            )
        return record

    def require_unexpired(self, lease: Lease) -> None:
        """Raise LeaseLapsed for a lease that `Leases.admit` lets pass while it waits for its renewal."""
        if now_of(self._clock) >= lease.expires_at:
            raise LeaseLapsed("the lease has expired but can still be renewed; try again after its renewal")

    def _refusal(self, caller: Caller, role: Role, action: Action) -> GatewayError:
        if role is not Role.STRANGER and action is Action.WRITE:
            return Forbidden(
                "only the image's owner may do this, and users with whom it is shared for writing"
            )
        if role is not Role.STRANGER:
            return Forbidden("only the image's owner may do this")
        if caller.is_nobody:
            return self._not_signed_in()
        if self._hide_foreign:
            return NotFound("there is no such image")
        return Forbidden("this image belongs to someone else")

    def _not_signed_in(self) -> Unauthenticated:
        return Unauthenticated("authentication required: send an identity or a lease")


def canonical_id(text: str) -> str | None:
    """Return an id in lower case, as it is stored; None if it is not a UUID.

    UUIDs are case-insensitive on input (RFC 9562 §4): use the result, or a record's id, in all look-ups.
    """
    lowered = text.lower()
    return lowered if _UUID.fullmatch(lowered) else None


def disk_of(record: ImageRecord) -> DiskFacts:
    """Return the disk of a complete image; raises InvalidState while it is not complete."""
    if record.state is not ImageState.COMPLETE or record.disk is None:
        raise InvalidState(f"the image is not readable: its state is {record.state.value}")
    return record.disk


def holder_of(caller: Caller, role: Role) -> Holder:
    """Return the holder to record in a lease of this caller."""
    if caller.user is None:
        return Holder(HolderKind.ANYONE)
    return Holder(HolderKind.ADMIN if role is Role.ADMIN else HolderKind.USER, caller.user)


def remaining_of(lease: Lease, clock: Callable[[], float]) -> float:
    """Return the seconds until a lease expires, 0 or less when it has."""
    return lease.expires_at.timestamp() - clock()


def _reader_of(image_id: str, caller: Caller) -> _Reader:
    lease = caller.lease
    return image_id, caller.user, caller.admin, lease.lease_id if lease else None


def _caller_of(holder: Holder) -> Caller:
    if holder.kind is HolderKind.ANYONE:
        return NOBODY
    return Caller(holder.name, admin=holder.kind is HolderKind.ADMIN)


class TtlCache(Generic[_Key, _Value]):
    """Caches values for `seconds`; 0 disables it. Each `put` removes all expired entries.

    Beyond MAX_ENTRIES the least recently used entry is removed.

    Args:
        seconds: the lifetime of an entry.
        timer: a monotonic clock in seconds.
    """

    def __init__(self, seconds: float, timer: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries: TLRUCache[_Key, tuple[_Value, float]] = TLRUCache(
            MAX_ENTRIES, ttu=lambda _key, entry, now: now + entry[1], timer=timer
        )

    def __len__(self) -> int:
        """The number of entries that have not expired."""
        with self._lock:
            return len(self._entries)

    def get(self, key: _Key) -> _Value | None:
        """Return the value, or None when there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def put(self, key: _Key, value: _Value, *, at_most: float = math.inf) -> _Value:
        """Cache and return a value; `at_most` limits its lifetime in seconds."""
        with self._lock:
            self._entries[key] = (value, min(self._seconds, at_most))
        return value
