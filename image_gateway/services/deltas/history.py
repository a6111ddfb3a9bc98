"""Snapshots of deltas, and their reset to an older generation."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Delta, Snapshot
from image_gateway.domain.images import Quota
from image_gateway.domain.permissions import DeltaAction
from image_gateway.errors import NotFound
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.checkpoints import Checkpoints, begin_recording
from image_gateway.services.deltas.delta_access import DeltaAccess, FoundDelta
from image_gateway.services.deltas.deltas import stale_generation
from image_gateway.services.deltas.maps import DeltaMaps


class DeltaHistory:
    """Keeps generations of deltas, and returns to them."""

    def __init__(
        self,
        catalog: Catalog,
        access: DeltaAccess,
        maps: DeltaMaps,
        checkpoints: Checkpoints,
        quota: Quota,
        trail: AuditTrail,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._access = access
        self._maps = maps
        self._checkpoints = checkpoints
        self._quota = quota
        self._trail = trail
        self._clock = clock

    def snapshot(self, delta_id: str, caller: Caller, name: str, generation: int | None) -> Snapshot:
        """Keep a generation under a name: the newest one, or another that is still kept."""
        found = self._access.find_as_user(delta_id, caller, DeltaAction.MANAGE)
        at = found.delta.generation if generation is None else generation
        snapshot = self.keep(found, at, name, str(uuid.uuid4()))
        self._note(AuditEvent.DELTA_SNAPSHOT_CREATED, found.delta, caller, snapshot=snapshot.snapshot_id)
        return snapshot

    def keep(self, found: FoundDelta, at: int, name: str, snapshot_id: str) -> Snapshot:
        """Make a snapshot of a generation that is still kept, without an audit entry."""
        delta, record = found.delta, found.record
        until = begin_recording()
        contents = self._maps.at(delta, record, at).merged()
        written = self._checkpoints.write(record, delta.delta_id, contents, until)
        snapshot = Snapshot(
            snapshot_id=snapshot_id,
            delta_id=delta.delta_id,
            name=name,
            generation=at,
            checkpoint=written.named.name,
            size=written.named.size,
            created_at=now_of(self._clock),
        )
        written.require_in_time()
        added = self._checkpoints.record(
            record,
            [written.named],
            lambda: self._catalog.delta_objects.add_snapshot(delta, snapshot, self._quota),
        )
        if not added:
            raise NotFound("there is no such delta")
        return snapshot

    def snapshots(self, delta_id: str, caller: Caller) -> Sequence[Snapshot]:
        """Return the snapshots of a delta, oldest first."""
        delta, _ = self._access.find_record(delta_id, caller, DeltaAction.SHOW)
        return self._catalog.delta_objects.snapshots(delta.delta_id)

    def delete_snapshot(self, delta_id: str, caller: Caller, snapshot_id: str) -> None:
        """Delete a snapshot; the sweeper deletes the objects that only it needed."""
        delta, _ = self._access.find_record(delta_id, caller, DeltaAction.MANAGE)
        snapshots = self._catalog.delta_objects.snapshots(delta.delta_id)
        snapshot = next((item for item in snapshots if item.snapshot_id == snapshot_id.lower()), None)
        if snapshot is None:
            raise NotFound("the delta has no such snapshot")
        if self._catalog.delta_objects.delete_snapshot(snapshot, now_of(self._clock)):
            self._note(AuditEvent.DELTA_SNAPSHOT_DELETED, delta, caller, snapshot=snapshot.snapshot_id)

    def reset(self, delta_id: str, caller: Caller, generation: int) -> Delta:
        """Make the contents of a kept generation the newest one, and fence all sessions.

        PreconditionFailed when a commit came in between.
        """
        until = begin_recording()
        found = self._access.find_as_user(delta_id, caller, DeltaAction.WRITE)
        delta, record = found.delta, found.record
        newest = self._maps.newest(delta, record)
        contents = self._maps.at(delta, record, generation).merged().at_generation(delta.generation + 1)
        if not self._checkpoints.reset(delta, record, newest, contents, self._quota, until):
            raise stale_generation(self._catalog.deltas.find(delta.delta_id) or delta)
        self._note(AuditEvent.DELTA_RESET, delta, caller, generation=generation)
        return self._access.find_record(delta.delta_id, caller, DeltaAction.SHOW)[0]

    def _note(
        self,
        event: AuditEvent,
        delta: Delta,
        caller: Caller,
        *,
        snapshot: str | None = None,
        generation: int | None = None,
    ) -> None:
        self._trail.note(
            event,
            delta.image_id,
            user=caller.user,
            delta=delta.delta_id,
            snapshot=snapshot,
            generation=generation,
        )
