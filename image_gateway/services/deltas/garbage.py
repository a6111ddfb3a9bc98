"""Deletes objects of deltas that nothing needs any more (ADR 32).

Of each image, objects are listed first and rows are read then: what is recorded meanwhile is too young to be
deleted, as everything that writes objects records them within RECORDED_WITHIN.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import GARBAGE_AGE, Delta, DeltaState
from image_gateway.domain.images import ImageRecord, ImageState
from image_gateway.errors import GatewayError
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.flattening import is_hold
from image_gateway.services.deltas.reachability import (
    ObjectName,
    Reachability,
    Root,
    StoredObject,
    is_over,
)
from image_gateway.services.sweep_report import SweepReport
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
PAGE = 500
BATCH = 1000


@dataclass(frozen=True)
class _Books:
    """What is known of an image's deltas: objects in the store, then rows; `now` is before both."""

    record: ImageRecord
    now: datetime
    listed: Sequence[StoredObject]
    deltas: Mapping[str, Delta]
    roots: Sequence[Root]
    retired: Mapping[ObjectName, datetime]

    def is_recorded(self, name: ObjectName) -> bool:
        """Return whether a row says since when an object is garbage; otherwise its own age counts."""
        delta = self.deltas.get(name.delta_id)
        return name in self.retired or (delta is not None and delta.state is DeltaState.DELETED)

    def is_old(self, item: StoredObject) -> bool:
        """Return whether no read can need an object that is not reachable."""
        delta = self.deltas.get(item.name.delta_id)
        moments = [self.retired[item.name]] if item.name in self.retired else []
        if delta is not None and delta.state is DeltaState.DELETED:
            moments.append(delta.updated_at)
        return max(moments, default=item.last_modified) <= self.now - GARBAGE_AGE


class DeltaGarbage:
    """The sweep of deltas. Safe to run with live traffic and with other sweepers."""

    def __init__(
        self, catalog: Catalog, store: ObjectStore, trail: AuditTrail, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._trail = trail
        self._clock = clock
        self._reachability = Reachability(catalog, store)

    def sweep(self, report: SweepReport, *, dry_run: bool) -> None:
        """Sweep the deltas of all images and add to the report; `dry_run` only counts."""
        restored_at, after = self._catalog.properties.restored_at(), ""
        while page := self._catalog.delta_objects.images_with_deltas(after=after, limit=PAGE):
            for image_id in page:
                try:
                    self._sweep_image(image_id, restored_at, report, dry_run)
                except GatewayError as error:
                    _log.warning("sweeping the deltas of image %s failed: %s", image_id, error.message)
                    report.left_for_later += 1
            after = page[-1]

    def _sweep_image(
        self, image_id: str, restored_at: datetime | None, report: SweepReport, dry_run: bool
    ) -> None:
        record = self._catalog.find(image_id)
        if record is None:
            _log.warning("image %s has deltas and no record", image_id)
            report.left_for_later += 1
        elif record.state is ImageState.DELETED:
            self._end_deltas(record, report, dry_run)
        else:
            books = self._read(record)
            self._release_holds(books, report, dry_run)
            settled = self._collect(books, restored_at, report, dry_run)
            self._settle(books, settled, report, dry_run)

    def _read(self, record: ImageRecord) -> _Books:
        now, listed = now_of(self._clock), self._reachability.listed(record)
        deltas = {item.delta_id: item for item in self._catalog.delta_objects.deltas_of(record.image_id)}
        roots = self._reachability.roots(list(deltas.values()), now)
        # After the roots: what these lack is either old garbage, or dated anew by now.
        retired = {
            ObjectName(delta_id, name): moment
            for delta_id in deltas
            for name, moment in self._catalog.delta_objects.retired_objects(delta_id).items()
        }
        return _Books(record, now, listed, deltas, roots, retired)

    def _collect(
        self, books: _Books, restored_at: datetime | None, report: SweepReport, dry_run: bool
    ) -> set[ObjectName]:
        """Delete what is old and not reachable. Return the names of that, and of what is kept for ever."""
        candidates = list(_candidates(books))
        if not candidates:
            return set()
        needed: set[ObjectName] = set()
        for root in books.roots:
            needed |= self._reachability.needed(books.record, root)
        garbage, settled = [], set()
        for item in candidates:
            if item.name in needed:
                continue
            settled.add(item.name)
            unknown = not books.is_recorded(item.name)
            if unknown and restored_at is not None and item.last_modified <= restored_at:
                # A newer backup may have its row.
                report.kept_delta_objects += 1
            else:
                garbage.append(item)
        report.deleted_delta_objects += len(garbage)
        report.deleted_delta_bytes += sum(item.size for item in garbage)
        if not dry_run:
            self._delete(books, garbage)
        return settled

    def _delete(self, books: _Books, garbage: Sequence[StoredObject]) -> None:
        for start in range(0, len(garbage), BATCH):
            batch = garbage[start : start + BATCH]
            self._store.delete_many([item.key for item in batch])
            self._forget(books, [item.name for item in batch])

    def _forget(self, books: _Books, names: Sequence[ObjectName]) -> None:
        """Stop counting objects that are not in the store any more."""
        for delta_id, group in groupby(sorted(names), key=lambda name: name.delta_id):
            delta = books.deltas.get(delta_id)
            if delta is not None:
                self._catalog.delta_objects.forget_objects(delta, [item.name for item in group])

    def _settle(self, books: _Books, settled: set[ObjectName], report: SweepReport, dry_run: bool) -> None:
        """Forget rows of objects that an earlier sweep deleted, and deleted deltas that have none left."""
        present = {item.name for item in books.listed} - settled
        oldest = books.now - GARBAGE_AGE
        gone = [name for name, moment in books.retired.items() if moment <= oldest and name not in present]
        for start in range(0, 0 if dry_run else len(gone), BATCH):
            self._forget(books, [name for name in gone[start : start + BATCH] if name not in settled])
        folders = {name.delta_id for name in present}
        if not folders <= books.deltas.keys():
            # Without a row of a delta nobody would look for these any more.
            return
        for delta in books.deltas.values():
            if is_over(delta, books.now) and delta.delta_id not in folders:
                report.purged_deltas += 1
                if not dry_run:
                    self._catalog.delta_objects.mark_purged(delta.delta_id, books.now)

    def _release_holds(self, books: _Books, report: SweepReport, dry_run: bool) -> None:
        """Delete the snapshots of flattenings that have ended, or that were never queued."""
        for root in books.roots:
            snapshot = root.snapshot
            if snapshot is None or not is_hold(snapshot):
                continue
            job = self._catalog.jobs.find(snapshot.snapshot_id)
            is_new = snapshot.created_at > books.now - GARBAGE_AGE
            if job.is_active if job is not None else is_new:
                continue
            report.released_snapshots += dry_run or self._catalog.delta_objects.delete_snapshot(
                snapshot, books.now
            )

    def _end_deltas(self, record: ImageRecord, report: SweepReport, dry_run: bool) -> None:
        """Delete the deltas of an image that a program without deltas deleted; forget them at its purge."""
        now = now_of(self._clock)
        for delta in self._catalog.delta_objects.deltas_of(record.image_id):
            if delta.state is DeltaState.ACTIVE:
                report.ended_deltas += 1
                if not dry_run and self._catalog.deltas.delete(delta.delta_id, now, with_image=True):
                    event, reason = AuditEvent.DELTA_DELETED, "image deleted"
                    self._trail.note(event, record.image_id, delta=delta.delta_id, reason=reason)
            elif record.purged_at is not None:
                report.purged_deltas += 1
                if not dry_run:
                    # Whatever is written later makes the bucket differ from the catalog, and is purged again.
                    self._catalog.delta_objects.mark_purged(delta.delta_id, now)


def _candidates(books: _Books) -> Iterator[StoredObject]:
    """Yield old objects that may be garbage: without any, no checkpoint has to be read.

    In the folder of a delta whose objects have as many bytes as it counts, all are recorded.
    """
    stored: dict[str, int] = {}
    for item in books.listed:
        stored[item.name.delta_id] = stored.get(item.name.delta_id, 0) + item.size
    for item in books.listed:
        delta = books.deltas.get(item.name.delta_id)
        balanced = delta is not None and delta.stored_bytes == stored[delta.delta_id]
        if books.is_old(item) and (books.is_recorded(item.name) or not balanced):
            yield item
