"""Uploads: begin one, sign its parts, join them; nothing acknowledged is ever lost."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from image_gateway.catalog.records import DiskFacts, ImageRecord, ImageState
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import (
    BadRequest,
    GatewayError,
    InvalidState,
    ObjectMissing,
    PartsRejected,
    StoreError,
    StoreUnavailable,
    UploadMissing,
)
from image_gateway.protocol.layout import ImageLocation
from image_gateway.protocol.parts import ClaimedPart, find_list_problem, find_store_problem
from image_gateway.services.access import Access
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadRules:
    """What every new upload gets: sizes in bytes, lifetimes in seconds."""

    base_path: str
    part_size: int
    cache_control: str
    url_lifetime: int


@dataclass(frozen=True)
class PartUrl:
    """A presigned PUT of one part, and when it stops working."""

    url: str = field(repr=False)
    expires_at: datetime


class Uploads:
    """The life of an image from its first request until it is complete."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        access: Access,
        rules: UploadRules,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._access = access
        self._rules = rules
        self._clock = clock

    def begin(self, owner: str) -> ImageRecord:
        """Open a multipart upload at the store and record it; neither is left when the other fails."""
        location = ImageLocation(self._rules.base_path, owner, str(uuid.uuid4()), secrets.token_hex(8))
        key = location.disk_key
        upload_id = self._store.create_upload(key, cache_control=self._rules.cache_control)
        record = ImageRecord(
            image_id=location.image_id,
            owner=owner,
            base_path=location.base_path,
            version=location.version,
            state=ImageState.UPLOADING,
            upload_id=upload_id,
            part_size=self._rules.part_size,
            created_at=self._now(),
        )
        try:
            self._catalog.add(record)
        except BaseException:
            self._abandon(key, upload_id)
            raise
        return record

    def sign_part(self, image_id: str, caller: str, upload_id: str, number: int) -> PartUrl:
        """Return the URL that uploads one part of an open upload."""
        record = self._find(image_id, caller, upload_id)
        if record.state is not ImageState.UPLOADING:
            raise InvalidState("the image is complete: no parts can be added")
        lifetime = self._rules.url_lifetime
        expires_at = self._now() + timedelta(seconds=lifetime)
        url = self._store.sign_part(record.location.disk_key, upload_id, number, lifetime=lifetime)
        return PartUrl(url, expires_at)

    def complete(self, image_id: str, caller: str, upload_id: str, parts: Sequence[ClaimedPart]) -> DiskFacts:
        """Join the parts and make the image readable; repeating it answers the same.

        A list that the store cannot accept is BadRequest and leaves the upload as it was.
        """
        record = self._find(image_id, caller, upload_id)
        if record.disk is not None:
            return record.disk
        problem = find_list_problem(parts)
        if problem:
            raise BadRequest(problem)
        key = record.location.disk_key
        self._join(key, upload_id, sorted(parts, key=lambda part: part.number))
        disk = self._look_at(key)
        if not self._catalog.complete(image_id, upload_id, disk):
            return self._completed_by_another(image_id, caller)
        _log.info("image %s is complete: %d bytes", image_id, disk.size)
        return disk

    def _find(self, image_id: str, caller: str, upload_id: str) -> ImageRecord:
        record = self._access.find(image_id, caller)
        if record.upload_id != upload_id:
            raise BadRequest("uploadId is not the one of this image")
        return record

    def _join(self, key: str, upload_id: str, parts: Sequence[ClaimedPart]) -> None:
        """Complete at the store; when the upload is gone or no answer came, the object decides."""
        try:
            problem = find_store_problem(parts, self._store.list_parts(key, upload_id))
            if problem:
                raise BadRequest(problem)
            self._store.complete_upload(key, upload_id, parts)
        except PartsRejected as error:
            raise BadRequest(str(error)) from error
        except UploadMissing:
            _log.info("the upload is gone: looking for its object")
        except (StoreUnavailable, StoreError) as error:
            if not self._exists(key):
                raise error

    def _exists(self, key: str) -> bool:
        try:
            self._store.head(key)
        except (ObjectMissing, GatewayError):
            return False
        return True

    def _look_at(self, key: str) -> DiskFacts:
        try:
            info = self._store.head(key)
        except ObjectMissing as error:
            text = "the store no longer knows this upload (aborted or expired): create the image again"
            raise InvalidState(text) from error
        return DiskFacts(info.size, info.etag, info.last_modified, info.cache_control)

    def _completed_by_another(self, image_id: str, caller: str) -> DiskFacts:
        _, disk = self._access.find_readable(image_id, caller)
        return disk

    def _abandon(self, key: str, upload_id: str) -> None:
        try:
            self._store.abort_upload(key, upload_id)
        except GatewayError as error:
            _log.error("an upload without a record stays in the store: %s (%s)", key, error.code)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
