"""Deletes the objects of failed and deleted images, and fences off writers that are still active.

S3 has no fencing tokens: a request that joins an upload, or a command that publishes chunks, could write an
object after the image was deleted. Each of them registers in the catalog before it writes, and a purge is
noted as complete only when no writer was registered and the prefix then lists empty (ADR 17).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import ImageFormat, ImageRecord, ImageState
from image_gateway.errors import GatewayError
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
BATCH = 1000
# Longer than one call to the store with all its retries: after that, a writer that died can no longer write.
WRITER_LIFETIME = timedelta(minutes=15)
RENEW_SECONDS = 5.0
POLL_SECONDS = 0.05


class Writer:
    """A registered writer of one image's objects."""

    def __init__(self, catalog: Catalog, record: ImageRecord, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._record = record
        self._clock = clock
        self._id = str(uuid.uuid4())
        self._renewed = time.monotonic()

    def begin(self) -> bool:
        """Register; returns False when the image is no longer in its record's state."""
        record = self._record
        return self._catalog.writers.add(self._id, record.image_id, record.state, self._expiry())

    def may_go_on(self) -> bool:
        """Return whether the image is still in its record's state; asks the catalog every five seconds."""
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return True
        self._renewed = time.monotonic()
        return self._catalog.writers.renew(self._id, self._record.state, self._expiry())

    def wait_for_others(self, seconds: float) -> None:
        """Wait until no other writer of the image is registered, or the timeout has passed."""
        deadline = time.monotonic() + seconds
        while self._has_others() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Unregister; if the catalog does not answer, the registration expires."""
        try:
            self._catalog.writers.remove(self._id)
        except GatewayError as error:
            _log.warning("unregistering a writer of image %s failed: %s", self._record.image_id, error.code)

    def _has_others(self) -> bool:
        now = now_of(self._clock)
        return self._catalog.writers.any_active(self._record.image_id, now, besides=self._id)

    def _expiry(self) -> datetime:
        return now_of(self._clock) + WRITER_LIFETIME


class Purger:
    """Deletes the objects of failed and deleted images, and registers writers of other images."""

    def __init__(self, catalog: Catalog, store: ObjectStore, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock

    @contextmanager
    def writing(self, record: ImageRecord) -> Iterator[Writer | None]:
        """Register a writer while the block runs; None when the image is no longer in its record's state.

        If the image has failed or was deleted meanwhile, the caller must call `purge_or_leave`.
        """
        writer = Writer(self._catalog, record, self._clock)
        if not writer.begin():
            yield None
            return
        try:
            yield writer
        finally:
            writer.end()

    def purge(self, record: ImageRecord, *, at_most: int | None = None) -> bool:
        """Abort the image's upload, delete its objects, and mark it as purged when none are left.

        Only for images that are failed or deleted in the catalog. `at_most` limits the objects deleted in one
        call. Missing objects are not an error; after StoreError and StoreUnavailable, call it again later.
        """
        writing = self._catalog.writers.any_active(record.image_id, now_of(self._clock))
        empty = self._delete_objects(record, at_most)
        if writing or not empty:
            return False
        self._catalog.boot_traces.delete(record.image_id)
        self._catalog.mark_purged(record.image_id, now_of(self._clock))
        _log.info("purged image %s: it has no objects in the store", record.image_id)
        return True

    def purge_if_ended(self, image_id: str) -> None:
        """End the jobs of an image that has failed or was deleted, and purge it as far as possible now.

        For a worker whose job ended otherwise than with success: the image may have been deleted, or the job
        cancelled, while the worker wrote objects.
        """
        record = self._catalog.find(image_id)
        if record is None or record.state not in (ImageState.FAILED, ImageState.DELETED):
            return
        self._catalog.jobs.cancel_of_image(image_id, now_of(self._clock))
        if record.purged_at is None:
            self.purge_or_leave(record)

    def purge_or_leave(self, record: ImageRecord, *, at_most: int | None = None) -> None:
        """Purge now if possible; otherwise leave the rest to the sweeper."""
        try:
            self.purge(record, at_most=at_most)
        except GatewayError as error:
            _log.warning("purging image %s failed, the sweeper will retry: %s", record.image_id, error.code)

    def _delete_objects(self, record: ImageRecord, at_most: int | None) -> bool:
        location = record.location
        for upload_id, key in self._uploads_of(record):
            self._store.abort_upload(key, upload_id)
        self._store.delete(location.disk_key)
        self._store.delete(location.manifest_key)
        self._store.delete(location.latest_key)
        keys = islice((item.key for item in self._store.list_objects(location.image_prefix)), at_most)
        while batch := list(islice(keys, BATCH)):
            self._store.delete_many(batch)
        return next(self._store.list_objects(location.image_prefix), None) is None

    def _uploads_of(self, record: ImageRecord) -> list[tuple[str, str]]:
        """Return upload id and key of the client's upload, and of those that jobs of the image made."""
        own = [(record.plan.upload_id, record.upload_key)] if record.plan.upload_id else []
        if record.plan.upload_id and record.format is ImageFormat.RAW:
            return own
        listed = self._store.list_uploads(record.location.image_prefix)
        return list(dict.fromkeys([*own, *((upload.upload_id, upload.key) for upload in listed)]))
