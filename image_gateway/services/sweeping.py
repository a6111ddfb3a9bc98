"""The sweeper: removes uploads, objects and leases that are no longer in use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEvent
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageRecord, ImageState, Quota
from image_gateway.errors import GatewayError, ObjectMissing
from image_gateway.protocol.layout import image_id_of, image_of_prefix
from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.catalog_sweep import AUDIT_KEPT, CatalogSweep
from image_gateway.services.completion import Completion
from image_gateway.services.deltas.garbage import DeltaGarbage
from image_gateway.services.purging import Purger
from image_gateway.services.sweep_report import SweepReport
from image_gateway.storage.listings import OpenUpload
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
PAGE = 500
# Images whose objects are looked up in the store at the same time.
CHECKED_AT_ONCE = 16
# A create request starts the upload before it writes the record; a younger upload may belong to one.
YOUNGEST_ORPHAN = timedelta(hours=1)


class Sweeper:
    """Removes the leftovers of failed or abandoned requests.

    Safe to run with live traffic and other sweepers: uploads end by compare-and-set, and deleting a missing
    object is not an error. The next sweep continues an interrupted one.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        base_path: str,
        clock: Callable[[], float],
        cache: BlockCache | None = None,
        *,
        keep_sources: bool = False,
        audit_kept: timedelta = AUDIT_KEPT,
        hash_limit: int = 0,
    ) -> None:
        """Make a sweeper; images of up to `hash_limit` bytes are hashed before they are completed."""
        self._keep_sources = keep_sources
        self._trail = AuditTrail(catalog.audit_entries, clock)
        self._completion = Completion(catalog, store, Quota(), hash_limit, self._trail, clock)
        self._cache = cache
        self._catalog = catalog
        self._store = store
        self._purger = Purger(catalog, store, clock)
        self._deltas = DeltaGarbage(catalog, store, self._trail, clock)
        self._rows = CatalogSweep(catalog, clock, audit_kept)
        self._prefix = f"{base_path.lstrip('/')}/" if base_path else ""
        self._clock = clock

    def sweep(
        self,
        *,
        older_than: timedelta | None = None,
        dry_run: bool = False,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> SweepReport:
        """Run all steps once and return a report; `dry_run` only counts.

        `older_than` is the age from which an upload without a record is an orphan; by default one hour (use
        at least an hour).
        """
        report = SweepReport()
        on_step("expired uploads")
        self._end_expired(report, dry_run)
        on_step("orphaned uploads")
        self._abort_orphans(report, YOUNGEST_ORPHAN if older_than is None else older_than, dry_run)
        on_step("objects of failed and deleted images")
        self._purge_ended(report, dry_run)
        on_step("objects of deltas")
        self._deltas.sweep(report, dry_run=dry_run)
        on_step("objects without a record in the catalog")
        self._compare_bucket(report, dry_run)
        on_step("images with missing objects")
        self._check_complete(report, dry_run)
        self._rows.sweep(report, dry_run=dry_run, on_step=on_step)
        self.sweep_cache(report, dry_run=dry_run)
        return report

    def sweep_cache(self, report: SweepReport, *, dry_run: bool = False) -> SweepReport:
        """Remove the blocks of deleted images from this machine's block cache, if it has one."""
        images = self._cache.images() if self._cache is not None else iter(())
        while page := list(islice(images, PAGE)):
            records = self._catalog.find_many(page)
            for image_id in page:
                record = records.get(image_id)
                if record is None or record.state is not ImageState.COMPLETE:
                    report.uncached_images += dry_run or self._uncache(image_id)
        return report

    def _uncache(self, image_id: str) -> bool:
        return self._cache is not None and self._cache.forget(image_id)

    def _end_expired(self, report: SweepReport, dry_run: bool) -> None:
        now = now_of(self._clock)
        after: tuple[datetime, str] | None = None
        while page := self._catalog.find_expired(now, after=after, limit=PAGE):
            for record in page:
                try:
                    self._end_upload(record, now, report, dry_run)
                except GatewayError as error:
                    _log.warning("ending the upload of image %s failed: %s", record.image_id, error.code)
                    report.left_for_later += 1
            after = (page[-1].plan.expires_at, page[-1].image_id)

    def _end_upload(self, record: ImageRecord, now: datetime, report: SweepReport, dry_run: bool) -> None:
        """Complete an expired upload that the store has joined, and let any other fail."""
        joined = self._completion.find_joined(record, check=not dry_run)
        if joined is not None:
            recorded = dry_run or self._completion.record(record, joined, record.plan.sha256)
            report.completed_uploads += recorded is not None
            return
        ended = dry_run or self._catalog.fail(
            record.image_id, record.plan.upload_id, now_of(self._clock), expired_by=now
        )
        report.expired_uploads += ended
        if ended and not dry_run:
            self._trail.note(AuditEvent.UPLOAD_EXPIRED, record.image_id)

    def _abort_orphans(self, report: SweepReport, age: timedelta, dry_run: bool) -> None:
        youngest, restored_at = now_of(self._clock) - age, self._catalog.properties.restored_at()
        for upload in list(self._store.list_uploads(self._prefix)):
            if upload.initiated > youngest or self._is_known(upload):
                continue
            if restored_at is not None and upload.initiated <= restored_at:
                # Its record may be in a newer backup. The bucket's own rule ends it.
                report.kept_uploads += 1
            else:
                report.orphaned_uploads += self._abort(upload, report, dry_run)

    def _is_known(self, upload: OpenUpload) -> bool:
        image_id = image_id_of(upload.key)
        record = self._catalog.find(image_id) if image_id else None
        if image_id is None:
            # The key is not in the gateway's layout, so the upload belongs to another application.
            return True
        if record is not None and record.state is ImageState.PROCESSING:
            # The upload of a job; one that a killed worker forgot goes when the job has ended.
            return True
        if record is None or record.plan.upload_id != upload.upload_id:
            return False
        # The upload of a failed or deleted image is aborted when its objects are deleted.
        return record.state is ImageState.UPLOADING or record.purged_at is None

    def _abort(self, upload: OpenUpload, report: SweepReport, dry_run: bool) -> bool:
        try:
            if not dry_run:
                self._store.abort_upload(upload.key, upload.upload_id)
        except GatewayError as error:
            _log.warning("aborting an orphaned upload failed: %s", error.code)
            report.left_for_later += 1
            return False
        return True

    def _purge_ended(self, report: SweepReport, dry_run: bool) -> None:
        for page in self._pages_by_id(self._catalog.find_unpurged):
            for record in page:
                self._purge(record, report, dry_run)

    def _purge(self, record: ImageRecord, report: SweepReport, dry_run: bool) -> None:
        try:
            if dry_run or self._purger.purge(record):
                report.purged_images += 1
            else:
                _log.info("image %s may still be written to: a later sweep will purge it", record.image_id)
                report.left_for_later += 1
        except GatewayError as error:
            _log.warning("purging image %s failed: %s", record.image_id, error.code)
            report.left_for_later += 1

    def _compare_bucket(self, report: SweepReport, dry_run: bool) -> None:
        """Purge images that are marked as purged and have objects again; report unknown objects.

        Unknown objects are never deleted: the catalog may have been restored from an older backup.
        """
        prefixes = self._image_prefixes()
        while page := dict(islice(prefixes, PAGE)):
            records = self._catalog.find_many(page)
            for image_id, prefix in page.items():
                record = records.get(image_id)
                expected = record is not None and record.purged_at is None
                # Some stores list folders that are empty.
                if expected or next(self._store.list_objects(prefix), None) is None:
                    continue
                if record is None:
                    _log.warning("the objects under %s have no record in the catalog", prefix)
                    report.unknown.append(prefix)
                else:
                    _log.warning("purged image %s has objects in the store again", image_id)
                    self._purge(record, report, dry_run)

    def _image_prefixes(self) -> Iterator[tuple[str, str]]:
        """Yield (image id, prefix) of every image that has something in the bucket."""
        for owner in self._store.list_folders(self._prefix):
            for prefix in self._store.list_folders(owner):
                image_id = image_of_prefix(prefix)
                if image_id is not None:
                    yield image_id, prefix

    def _check_complete(self, report: SweepReport, dry_run: bool) -> None:
        """Ask the store for every image's object, some at a time: this step grows with the catalog."""
        for page in self._pages_by_id(self._catalog.find_complete):
            with closing(map_ordered(partial(self._check_disk, page), len(page), CHECKED_AT_ONCE)) as errors:
                for record, error in zip(page, errors, strict=True):
                    report.checked_images += 1
                    self._act_on_check(record, error, report, dry_run)

    def _check_disk(self, page: Sequence[ImageRecord], number: int) -> Exception | None:
        try:
            self._store.head(page[number].location.disk_key)
        except (ObjectMissing, GatewayError) as error:
            return error
        return None

    def _act_on_check(
        self, record: ImageRecord, error: Exception | None, report: SweepReport, dry_run: bool
    ) -> None:
        if error is None and record.source is not None and not self._keep_sources:
            self._delete_source(record, report, dry_run)
        elif isinstance(error, GatewayError):
            report.left_for_later += 1
        elif error is not None and self._is_still_complete(record):
            _log.error("the object of image %s is missing from the store", record.image_id)
            report.vanished.append(record.image_id)

    def _delete_source(self, record: ImageRecord, report: SweepReport, dry_run: bool) -> None:
        """Delete what was converted, if the worker died before it did."""
        report.deleted_sources += 1
        try:
            if not dry_run:
                self._store.delete(record.location.source_key)
                self._catalog.forget_source(record.image_id)
        except GatewayError:
            report.left_for_later += 1

    def _is_still_complete(self, record: ImageRecord) -> bool:
        current = self._catalog.find(record.image_id)
        return current is not None and current.state is ImageState.COMPLETE

    def _pages_by_id(self, find: Callable[..., Sequence[ImageRecord]]) -> Iterator[Sequence[ImageRecord]]:
        after = ""
        while page := find(after=after, limit=PAGE):
            yield page
            after = page[-1].image_id
