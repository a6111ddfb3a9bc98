"""Permissions on deltas: finds a delta for a caller who may perform an action on it."""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import Delta, DeltaState
from image_gateway.domain.images import DiskFacts, ImageRecord, ImageState
from image_gateway.domain.leases import HolderKind, LeasedDelta, Scope
from image_gateway.domain.permissions import DELTA_PERMISSIONS, Action, DeltaAction, Role
from image_gateway.errors import Fenced, Forbidden, NotFound, Unauthenticated
from image_gateway.observability.audit import audit
from image_gateway.services.reading.access import Access, canonical_id


@dataclass(frozen=True)
class FoundDelta:
    """A delta with its base; `leased` is what a lease fixes of it."""

    delta: Delta
    record: ImageRecord
    disk: DiskFacts
    leased: LeasedDelta | None = None


class DeltaAccess:
    """Finds deltas that callers may use.

    A delta shows its base, so that whoever reads it must be allowed to read the image, and who writes it to
    write deltas of the image, by a share if it is another user's.
    """

    def __init__(self, catalog: Catalog, images: Access, *, hide_foreign: bool) -> None:
        self._catalog = catalog
        self._images = images
        self._hide_foreign = hide_foreign

    def find_record(self, delta_id: str, caller: Caller, action: DeltaAction) -> tuple[Delta, Role]:
        """Return a delta for an action that needs no permission on its image, and the caller's role.

        Raises:
            NotFound: There is no such delta, or it was deleted.
            Unauthenticated, Forbidden: The caller may not do this.
        """
        if caller.lease is not None:
            raise Forbidden("the lease does not permit this: authenticate as a user")
        delta = self.look_up(delta_id)
        if delta is None or delta.state is DeltaState.DELETED:
            raise _not_signed_in() if caller.is_nobody else NotFound("there is no such delta")
        role = role_of(caller, delta)
        if action not in DELTA_PERMISSIONS[role]:
            raise self._refusal(caller, role)
        if role is Role.ADMIN:
            audit("admin action", user=caller.user, image=delta.image_id, delta=delta.delta_id, action=action)
        return delta, role

    def find(self, delta_id: str, caller: Caller, action: DeltaAction) -> FoundDelta:
        """Return a delta and its base, by identity or by a lease of the delta; raises as `find_record`."""
        if caller.lease is not None:
            return self._find_leased(delta_id, caller, action)
        return self.find_as_user(delta_id, caller, action)

    def find_as_user(self, delta_id: str, caller: Caller, action: DeltaAction) -> FoundDelta:
        """Like `find`, by identity only: a lease must neither make leases nor return to old generations."""
        delta, _ = self.find_record(delta_id, caller, action)
        return self._with_base(delta, caller, action)

    def find_writer(self, delta_id: str, caller: Caller) -> FoundDelta:
        """Return the delta that the caller's session may write to; raises Fenced for an older session.

        Only the lease of a session will do: two writers with one identity would not know of each other.
        """
        if caller.lease is None:
            raise Forbidden("only a session may write: open one with POST /v1/deltas/{id}/sessions")
        return self._find_leased(delta_id, caller, DeltaAction.WRITE)

    def find_even_deleted(self, delta_id: str, caller: Caller) -> Delta:
        """Like `find_record` for deleting; owners and admins find deleted deltas too."""
        delta = self.look_up(delta_id)
        is_gone = delta is not None and delta.state is DeltaState.DELETED and caller.lease is None
        if delta is not None and is_gone and DeltaAction.DELETE in DELTA_PERMISSIONS[role_of(caller, delta)]:
            return delta
        return self.find_record(delta_id, caller, DeltaAction.DELETE)[0]

    def may_still_read(self, delta: Delta, record: ImageRecord, caller: Caller) -> bool:
        """Return whether a body that the caller began to read may be continued; asks the catalog."""
        current = self._catalog.deltas.find(delta.delta_id)
        if current is None or current.state is DeltaState.DELETED:
            return False
        return self._images.may_still_read(record, caller)

    def look_up(self, delta_id: str) -> Delta | None:
        """Return the delta for an id from a client, also a deleted one, without a permission check."""
        canonical = canonical_id(delta_id)
        return self._catalog.deltas.find(canonical) if canonical else None

    def _find_leased(self, delta_id: str, caller: Caller, action: DeltaAction) -> FoundDelta:
        lease = caller.lease
        leased = lease.delta if lease is not None else None
        if lease is None or leased is None or canonical_id(delta_id) != leased.delta_id:
            raise Forbidden("the lease is for another disk")
        needed = {DeltaAction.READ: Scope.DISK_READ, DeltaAction.WRITE: Scope.DISK_WRITE}.get(action)
        if needed not in lease.scopes:
            raise Forbidden(f"the lease does not permit this, only {' and '.join(sorted(lease.scopes))}")
        delta = self.look_up(delta_id)
        if delta is None or delta.state is DeltaState.DELETED:
            raise NotFound("there is no such delta")
        holder = Caller(lease.holder.name, admin=lease.holder.kind is HolderKind.ADMIN)
        if action is DeltaAction.READ:
            self._images.require_unexpired(lease)
        role = role_of(holder, delta)
        if DeltaAction.READ not in DELTA_PERMISSIONS[role]:
            raise NotFound("there is no such delta")
        if role is Role.ADMIN:
            audit(
                "admin action",
                user=holder.user,
                image=delta.image_id,
                delta=delta.delta_id,
                lease=lease.lease_id,
                action=action,
            )
        found = self._with_base(delta, holder, action)
        return FoundDelta(found.delta, found.record, found.disk, leased)

    def _with_base(self, delta: Delta, caller: Caller, action: DeltaAction) -> FoundDelta:
        if action is DeltaAction.WRITE:
            self._images.find(delta.image_id, caller, Action.WRITE)
        record, disk = self._images.find_for_reading(delta.image_id, caller)
        if record.state is ImageState.DELETED or record.version != delta.version:
            raise NotFound("the base of the delta is gone")
        return FoundDelta(delta, record, disk)

    def _refusal(self, caller: Caller, role: Role) -> Exception:
        if role is not Role.STRANGER:
            return Forbidden("only the delta's owner may do this")
        if caller.is_nobody:
            return _not_signed_in()
        if self._hide_foreign:
            return NotFound("there is no such delta")
        return Forbidden("this delta belongs to someone else")


def role_of(caller: Caller, delta: Delta) -> Role:
    """Return the role of a caller without a lease."""
    if caller.user is not None and caller.user == delta.owner:
        return Role.OWNER
    return Role.ADMIN if caller.admin else Role.STRANGER


def require_epoch(delta: Delta, leased: LeasedDelta | None) -> None:
    """Check that the session of a lease is the newest one of its delta; raises Fenced."""
    if leased is None or leased.epoch != delta.epoch:
        raise Fenced("a newer session writes to this delta now: this one must stop and write nothing more")


def _not_signed_in() -> Unauthenticated:
    return Unauthenticated("authentication required: send an identity or a lease")
