"""Writes checkpoints of deltas: the whole map as one object, so that few segments have to be opened."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import RECORDED_WITHIN, Commit, CommitKind, Delta, NamedObject
from image_gateway.domain.images import ImageRecord, Quota
from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.errors import GatewayError, QuotaExceeded, StoreUnavailable, TooFragmented
from image_gateway.observability.metrics import DELTA_CHECKPOINTS
from image_gateway.protocol.deltas.compaction_plan import find_victims, is_worthwhile
from image_gateway.protocol.deltas.delta_map import MAX_RUNS, DeltaMap, SegmentRef, encode_checkpoint
from image_gateway.services.deltas.maps import DeltaMaps, checkpoint_prefix
from image_gateway.services.deltas.stored_objects import write_object
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """A checkpoint's object, the map in it, and the time limit to record it, by the monotonic clock."""

    named: NamedObject
    found: DeltaMap
    record_until: float

    def require_in_time(self) -> None:
        """Raise StoreUnavailable when writing took so long that the sweeper might delete the object."""
        require_in_time(self.record_until)


class Checkpoints:
    """Writes checkpoints and records them."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, maps: DeltaMaps, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._maps = maps
        self._clock = clock

    def renew(self, delta: Delta, record: ImageRecord) -> None:
        """Write a checkpoint of the delta's generation and retire what it does not need.

        When another request did so meanwhile, that one counts. Raises TooFragmented, and the store's errors.
        """
        until = begin_recording()
        before = self._maps.newest(delta, record)
        written = self.write(record, delta.delta_id, before.merged(), until)
        if self.install(delta, record, before, written):
            self._compact_if_worthwhile(delta, written.found)

    def install(
        self,
        delta: Delta,
        record: ImageRecord,
        before: DeltaMap,
        written: Written,
        segments: Sequence[SegmentRef] = (),
    ) -> bool:
        """Record a checkpoint in place of the delta's own; return False if that is another one by now.

        Args:
            before: The map from which the new one was made.
            segments: Segments that were written for it.
        """
        written.require_in_time()
        named = [named_segment(segment) for segment in segments]
        retired = list(retired_by(delta, before, written.found))
        installed = self.record(
            record,
            [written.named, *named],
            lambda: self._catalog.delta_objects.set_checkpoint(
                delta,
                written.found.generation,
                written.named,
                written.found.live_bytes,
                retired,
                now_of(self._clock),
                written=named,
            ),
        )
        if installed:
            DELTA_CHECKPOINTS.inc()
            self._maps.add_checkpoint(delta.delta_id, written.named.name, written.found)
        return installed

    def reset(
        self,
        delta: Delta,
        record: ImageRecord,
        before: DeltaMap,
        contents: DeltaMap,
        quota: Quota,
        record_until: float,
    ) -> bool:
        """Make other contents the newest generation, and fence all sessions.

        Args:
            delta: The delta, at the generation of `before`; otherwise nothing changes.
            record: Its base.
            before: The delta's newest map.
            contents: The merged map of the new generation.
            quota: The limits of the delta's owner; raises QuotaExceeded.
            record_until: When the time for recording ends.

        Returns:
            False if the delta has another generation or checkpoint by now, or is deleted.
        """
        written = self.write(record, delta.delta_id, contents, record_until)
        commit = Commit(
            generation=contents.generation,
            epoch=delta.epoch + 1,
            kind=CommitKind.RESET,
            name=written.named.name,
            size=written.named.size,
            etag="",
            extents=0,
            blocks=0,
            sha256="",
            idempotency_key=f"reset {secrets.token_hex(8)}",
            created_at=now_of(self._clock),
        )
        retired = list(retired_by(delta, before, contents))
        written.require_in_time()
        return self.record(
            record,
            [written.named],
            lambda: self._catalog.delta_objects.reset(
                delta, commit, written.named, contents.live_bytes, retired, quota
            ),
        )

    def write(self, record: ImageRecord, delta_id: str, found: DeltaMap, record_until: float) -> Written:
        """Write the object of a merged map; it must be recorded before `record_until`."""
        if len(found.runs) > MAX_RUNS:
            raise TooFragmented(
                f"the delta has {len(found.runs)} runs of blocks, at most {MAX_RUNS} are possible: flatten it"
            )
        name, data = (
            f"{checkpoint_prefix(found.generation)}{secrets.token_hex(8)}.map",
            encode_checkpoint(found),
        )
        write_object(self._store, record.location.delta_key(delta_id, name), data)
        return Written(NamedObject(delta_id, name, len(data)), found, record_until)

    def _compact_if_worthwhile(self, delta: Delta, found: DeltaMap) -> None:
        """Queue a compaction if that frees enough. Without it reads go on as well, so it is only tried."""
        if not is_worthwhile(find_victims(found), found.live_bytes):
            return
        try:
            self._catalog.jobs.add(new_job(delta.image_id, JobKind.COMPACT, now_of(self._clock)))
        except GatewayError as error:
            _log.warning("no compaction of delta %s was queued: %s", delta.delta_id, error.code)

    def record(
        self, record: ImageRecord, written: Sequence[NamedObject], attempt: Callable[[], bool]
    ) -> bool:
        """Call what records objects in the catalog, and delete them where that certainly did not happen.

        Args:
            record: The base of their delta.
            written: Objects in the store that no row names yet.
            attempt: Records them in one transaction, and returns whether it did; QuotaExceeded changes
                nothing. After any other error the objects stay: they may have been recorded.
        """
        try:
            recorded = attempt()
        except QuotaExceeded:
            self.discard(record, written)
            raise
        if not recorded:
            self.discard(record, written)
        return recorded

    def discard(self, record: ImageRecord, objects: Sequence[NamedObject]) -> None:
        """Delete objects that were certainly not recorded; what the store keeps is left to the sweeper."""
        for item in objects:
            try:
                self._store.delete(record.location.delta_key(item.delta_id, item.name))
            except GatewayError as error:
                _log.warning("deleting %s failed, the sweeper will: %s", item.name, error.code)


def named_segment(segment: SegmentRef) -> NamedObject:
    """Return a segment as an object by its name."""
    return NamedObject(segment.delta_id, segment.name, segment.size)


def retired_by(delta: Delta, before: DeltaMap, after: DeltaMap) -> Iterator[NamedObject]:
    """Yield the delta's checkpoint and the segments that are needed before, and not after."""
    if delta.checkpoint is not None:
        yield NamedObject(delta.delta_id, delta.checkpoint, delta.checkpoint_size)
    needed = set(after.needed_segments())
    for segment in before.needed_segments():
        if segment not in needed:
            yield named_segment(segment)


def begin_recording() -> float:
    """Return until when, by the monotonic clock, objects that are written from now on must be recorded."""
    return time.monotonic() + RECORDED_WITHIN.total_seconds()


def require_in_time(record_until: float) -> None:
    """Raise StoreUnavailable when the time to record an object has passed."""
    if time.monotonic() > record_until:
        raise StoreUnavailable("the store took too long to write the delta's objects; try again")
