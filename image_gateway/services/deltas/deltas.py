"""The life of deltas: making, forking, listing, sessions, renaming, deleting, and leases of their disks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Commit, Delta, DeltaState, Parent
from image_gateway.domain.images import DiskFacts, ImageRecord, Quota
from image_gateway.domain.leases import LeasedDelta, Scope
from image_gateway.domain.permissions import Action, DeltaAction, Role
from image_gateway.errors import BadRequest, InvalidState, NotFound, PreconditionFailed
from image_gateway.protocol.deltas.map_page import MapPage, list_changes
from image_gateway.protocol.deltas.segment import (
    DEFAULT_BLOCK_SIZE,
    MAX_BLOCK_SIZE,
    MIN_BLOCK_SIZE,
    count_blocks,
    is_block_size,
)
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.checkpoints import Checkpoints, begin_recording
from image_gateway.services.deltas.delta_access import DeltaAccess
from image_gateway.services.deltas.maps import DeltaMaps
from image_gateway.services.leases import IssuedLease, LeaseRequest, Leases
from image_gateway.services.reading.access import Access

WRITING = frozenset({Scope.DISK_READ, Scope.DISK_WRITE})


@dataclass(frozen=True)
class Session:
    """The writer of a delta: the delta at the new epoch, and the lease."""

    delta: Delta
    issued: IssuedLease


@dataclass(frozen=True)
class ShownMap:
    """A page of the map of a delta at a generation: the blocks that were written after `since`."""

    delta: Delta
    generation: int
    since: int
    page: MapPage


class Deltas:
    """Makes, shows, changes and deletes deltas, and opens their sessions."""

    def __init__(
        self,
        catalog: Catalog,
        images: Access,
        access: DeltaAccess,
        maps: DeltaMaps,
        checkpoints: Checkpoints,
        leases: Leases,
        quota: Quota,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._images = images
        self._access = access
        self._maps = maps
        self._checkpoints = checkpoints
        self._leases = leases
        self._quota = quota
        self._trail = trail
        self._clock = clock

    def create(self, image_id: str, owner: Caller, *, block_size: int | None, name: str | None) -> Delta:
        """Create a delta over a complete image on which the caller may write deltas.

        Raises:
            BadRequest: The block size is no power of two from 512 to 65,536.
        """
        size = DEFAULT_BLOCK_SIZE if block_size is None else block_size
        if not is_block_size(size):
            raise BadRequest(f"blockSize must be a power of two from {MIN_BLOCK_SIZE} to {MAX_BLOCK_SIZE}")
        self._images.find(image_id, owner, Action.WRITE)
        record, disk = self._images.find_readable(image_id, owner)
        delta = self._draft(record, disk, owner, size, name or record.name)
        if not self._catalog.deltas.add(delta, self._quota):
            raise _deleted_meanwhile()
        self._note(AuditEvent.DELTA_CREATED, delta, owner)
        return delta

    def fork(self, delta_id: str, owner: Caller, *, generation: int | None, name: str | None) -> Delta:
        """Create a delta with the contents of another one of the caller's at a kept generation."""
        until = begin_recording()
        found = self._access.find_as_user(delta_id, owner, DeltaAction.MANAGE)
        self._images.find(found.delta.image_id, owner, Action.WRITE)
        parent, record = found.delta, found.record
        at = parent.generation if generation is None else generation
        contents = self._maps.at(parent, record, at).merged().at_generation(0)
        fork = self._draft(record, found.disk, owner, parent.block_size, name or parent.name)
        written = self._checkpoints.write(record, fork.delta_id, contents, until)
        fork = replace(
            fork,
            parent=Parent(parent.delta_id, at),
            checkpoint=written.named.name,
            checkpoint_size=written.named.size,
            stored_bytes=written.named.size,
            live_bytes=contents.live_bytes,
        )
        written.require_in_time()
        added = self._checkpoints.record(
            record, [written.named], lambda: self._catalog.deltas.add(fork, self._quota)
        )
        if not added:
            raise _deleted_meanwhile()
        self._note(AuditEvent.DELTA_FORKED, fork, owner, parent=parent.delta_id, generation=at)
        return fork

    def list(
        self, owner: str, *, image_id: str | None, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Delta]:
        """Return up to `limit` of a user's deltas, newest first."""
        return self._catalog.deltas.list(owner, limit=limit, image_id=image_id, after=after)

    def find(self, delta_id: str, caller: Caller) -> Delta:
        """Return a delta that the caller may see."""
        return self._access.find_record(delta_id, caller, DeltaAction.SHOW)[0]

    def rename(self, delta_id: str, caller: Caller, name: str, *, generation: int | None) -> Delta:
        """Change the name; PreconditionFailed when `generation` is given and not the current one."""
        delta, _ = self._access.find_record(delta_id, caller, DeltaAction.MANAGE)
        renamed = self._catalog.deltas.rename(
            delta.delta_id, name, now_of(self._clock), generation=generation
        )
        current = self.find(delta.delta_id, caller)
        if not renamed:
            raise stale_generation(current)
        if name != delta.name:
            self._note(AuditEvent.DELTA_RENAMED, delta, caller, before=delta.name, after=name)
        return current

    def delete(self, delta_id: str, caller: Caller, *, generation: int | None) -> None:
        """Delete a delta permanently; idempotent. The sweeper deletes its objects."""
        delta = self._access.find_even_deleted(delta_id, caller)
        if delta.state is DeltaState.DELETED:
            return
        if self._catalog.deltas.delete(delta.delta_id, now_of(self._clock), generation=generation):
            self._note(AuditEvent.DELTA_DELETED, delta, caller)
        elif generation is not None:
            current = self._catalog.deltas.find(delta.delta_id)
            if current is not None and current.state is DeltaState.ACTIVE:
                raise stale_generation(current)

    def open_session(self, delta_id: str, caller: Caller, request: LeaseRequest) -> Session:
        """Become the writer of a delta: fence all older sessions, and return a lease to write."""
        found = self._access.find_as_user(delta_id, caller, DeltaAction.WRITE)
        delta = self._catalog.deltas.begin_session(found.delta.delta_id, now_of(self._clock))
        if delta is None:
            raise NotFound("there is no such delta")
        leased = LeasedDelta(delta.delta_id, epoch=delta.epoch)
        issued = self._leases.make_for_delta(delta, found.record, caller, leased, request)
        self._note(AuditEvent.DELTA_SESSION_OPENED, delta, caller, epoch=delta.epoch)
        return Session(delta, issued)

    def lease(
        self, delta_id: str, caller: Caller, generation: int | None, request: LeaseRequest
    ) -> IssuedLease:
        """Create a lease to read a delta: its newest generation, or a fixed one that is kept."""
        if Scope.DISK_WRITE in request.scopes:
            raise BadRequest(
                "scopes: disk:write is for the sessions of a delta: POST /v1/deltas/{id}/sessions"
            )
        found = self._access.find_as_user(delta_id, caller, DeltaAction.READ)
        if generation is not None:
            self._maps.at(found.delta, found.record, generation)
        leased = LeasedDelta(found.delta.delta_id, generation)
        return self._leases.make_for_delta(found.delta, found.record, caller, leased, request)

    def map(self, delta_id: str, caller: Caller, *, since: int, first: int, limit: int) -> ShownMap:
        """Return which blocks from `first` on were written after the generation `since`.

        The map is that of the newest generation, or of the one that the caller's lease fixes.
        """
        found = self._access.find(delta_id, caller, DeltaAction.READ)
        delta, fixed = found.delta, found.leased.generation if found.leased else None
        generation = delta.generation if fixed is None else fixed
        contents = self._maps.at(delta, found.record, generation)
        # Blocks that a reset gave back to the base are in no map.
        can_tell = delta.reset_generation <= since <= generation
        blocks = count_blocks(delta.disk_size, delta.block_size)
        page = list_changes(contents, first, blocks, since if can_tell else 0, limit)
        return ShownMap(delta, generation, since if can_tell else 0, page)

    def log(self, delta_id: str, caller: Caller, *, before: int | None, limit: int) -> Sequence[Commit]:
        """Return the newest commits, newest first; those of more than a day ago may be forgotten."""
        delta, _ = self._access.find_record(delta_id, caller, DeltaAction.SHOW)
        return self._catalog.deltas.log(delta.delta_id, before=before, limit=limit)

    def _draft(
        self, record: ImageRecord, disk: DiskFacts, owner: Caller, block_size: int, name: str
    ) -> Delta:
        now = now_of(self._clock)
        return Delta(
            delta_id=str(uuid.uuid4()),
            image_id=record.image_id,
            version=record.version,
            disk_size=disk.size,
            owner=owner.user or "",
            name=name,
            block_size=block_size,
            created_at=now,
            updated_at=now,
        )

    def _note(self, event: AuditEvent, delta: Delta, caller: Caller, **details: str | int) -> None:
        role = Role.ADMIN if caller.user != delta.owner else None
        self._trail.note(event, delta.image_id, user=caller.user, role=role, delta=delta.delta_id, **details)


def stale_generation(delta: Delta) -> PreconditionFailed:
    """Return the error of a change that expects another generation than the current one."""
    return PreconditionFailed(
        f"the delta is at generation {delta.generation}: read it again", headers={"ETag": delta.etag}
    )


def _deleted_meanwhile() -> InvalidState:
    return InvalidState("the image or the delta was deleted meanwhile")
