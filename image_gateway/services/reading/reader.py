"""Answers reads: one decision from the catalog's record, one call to the store, one version per response."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from image_gateway.domain.images import DiskFacts, ImageRecord
from image_gateway.errors import (
    NotFound,
    ObjectChanged,
    ObjectMissing,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
)
from image_gateway.observability.request_log import note_range
from image_gateway.protocol.preconditions import Conditions, Decision, Validators, decide
from image_gateway.protocol.ranges import ByteRange, Unsatisfiable, Whole, resolve_range
from image_gateway.services.reading.cached_body import BlockCacheReader, CachedObject
from image_gateway.services.reading.read_ahead import ReadAhead
from image_gateway.services.reading.zero_maps import ZeroBody, ZeroMapRef, ZeroMaps
from image_gateway.storage.body import Body, BodyBroken, ObjectBody
from image_gateway.storage.object_reads import ObjectInfo, OpenObject, Pin
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)
OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Representation:
    """A body that can be read: its object, its validators, and the version that reads are tied to.

    The bytes at the URL of a versioned representation never change, so a public one may be cached forever.
    `disk_start` is the place of its bytes in the image's disk, None for other bytes; `disk_version` is the
    image's version, for the disk itself alone. `zero_map` tells which bytes are zeros and need not be read.
    """

    image_id: str
    key: str
    size: int
    etag: str
    last_modified: datetime
    cache_control: str | None
    content_type: str
    pin: Pin
    takes_ranges: bool = True
    is_versioned: bool = False
    disk_start: int | None = None
    disk_version: str | None = None
    zero_map: ZeroMapRef | None = None

    @property
    def validators(self) -> Validators:
        return Validators(self.etag, self.last_modified)


@dataclass(frozen=True)
class ReadRequest:
    """The raw Range header, the conditional headers, and whether the method is HEAD."""

    range_header: str | None
    conditions: Conditions
    head: bool = False


@dataclass(frozen=True)
class Answer:
    """Status 200, 206, 304 or 416; the byte range of a 206; for GET a body, which the caller must close."""

    status: int
    representation: Representation
    byte_range: ByteRange | None = None
    body: Body | None = None


def represent_disk(record: ImageRecord, disk: DiskFacts) -> Representation:
    """Return the disk of a complete image; reads are tied to its ETag."""
    return Representation(
        image_id=record.image_id,
        key=record.location.disk_key,
        size=disk.size,
        etag=disk.etag,
        last_modified=disk.last_modified,
        cache_control=disk.cache_control,
        content_type=OCTETS,
        pin=Pin(etag=disk.etag),
        disk_start=0,
        disk_version=record.version,
        zero_map=zero_map_of(record, disk.size),
    )


def zero_map_of(record: ImageRecord, disk_size: int, offset: int = 0) -> ZeroMapRef | None:
    """Return the map for bytes that begin at `offset` of the disk; None if the image has no map."""
    if record.zero_map_bytes is None:
        return None
    return ZeroMapRef(record.location.zero_map_key, record.zero_map_bytes, disk_size, offset)


class Reader:
    """Answers reads of representations from their zero maps, the block cache or the store."""

    def __init__(
        self,
        store: ObjectStore,
        cached: BlockCacheReader | None = None,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        self._store = store
        self._cached = cached
        self._read_ahead = read_ahead
        self._zero_maps = ZeroMaps(store)

    def read(self, target: Representation, request: ReadRequest) -> Answer:
        """Evaluate the conditions and open the body.

        If the object is not the catalog's version, the whole object is returned with its own validators;
        bytes of two versions are never mixed.

        Raises:
            PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
            NotFound: The object is missing from the store.
        """
        byte_range = self.decide(target, request)
        if isinstance(byte_range, Answer):
            return byte_range
        try:
            return self._head(target) if request.head else self._open(target, byte_range)
        except ObjectMissing as error:
            _log.error("the object of a readable image is missing: %s", target.key)
            raise NotFound("the image's object is no longer in the store") from error
        except ObjectChanged:
            _log.error("an immutable object was replaced: %s", target.key)
            return self._read_replaced(target, request)

    def open_version(self, target: Representation, byte_range: ByteRange) -> Body:
        """Return a range of an object at the pinned version, from the block cache or the store.

        Raises:
            NotFound: The object is no longer in the store.
            StoreError: The object was replaced by another one.
        """
        with _no_other_version(target):
            body = self._open(target, byte_range).body
        if body is None:
            raise RuntimeError("an opened answer has a body")
        return body

    def require_version(self, target: Representation) -> None:
        """Check that the store has the pinned version; raises as `open_version`."""
        with _no_other_version(target):
            self._head(target)

    def sign(self, target: Representation, conditions: Conditions) -> str | None:
        """Return path and query of a presigned GET, for an nginx that serves single ranges by itself.

        Returns None when the gateway must answer: nginx only compares If-Match and If-Range with the current
        ETag of the object, and supports no other conditions.
        """
        if not target.takes_ranges or not target.size:
            return None
        own = (None,) if target.is_versioned else (None, target.etag)
        plain = Conditions(if_match=conditions.if_match, if_range=conditions.if_range)
        if conditions != plain or conditions.if_match not in own or conditions.if_range not in own:
            return None
        return self._store.sign_read(target.key)

    def is_zero(self, target: Representation, wanted: ByteRange) -> bool:
        """Return whether a range of a representation is known to hold only zeros."""
        return target.zero_map is not None and self._zero_maps.is_zero(target.zero_map, wanted)

    @property
    def has_cache(self) -> bool:
        """Whether this machine has a block cache."""
        return self._cached is not None

    def forget(self, image_id: str) -> None:
        """Remove the cached blocks of a deleted image from this machine."""
        if self._cached is not None:
            self._cached.forget(image_id)

    def decide(self, target: Representation, request: ReadRequest) -> Answer | ByteRange | None:
        """Return an answer without a body, the range to open, or None for the whole body."""
        decision = decide(request.conditions, target.validators)
        if decision is Decision.FAILED:
            raise PreconditionFailed(
                "If-Match or If-Unmodified-Since does not match the current version of the image",
                headers={"ETag": target.etag},
            )
        if decision is Decision.NOT_MODIFIED:
            return Answer(304, target)
        if request.head or decision is Decision.PROCEED_WHOLE or not target.takes_ranges:
            return None
        wanted = resolve_range(request.range_header, target.size)
        if isinstance(wanted, Unsatisfiable):
            return Answer(416, target)
        return None if isinstance(wanted, Whole) else wanted

    def _head(self, target: Representation) -> Answer:
        info = self._store.head(target.key)
        if not target.pin.holds_for(info):
            raise ObjectChanged(target.key)
        self._check_size(target, info)
        return Answer(200, _with_cache_control(target, info))

    def _open(self, target: Representation, byte_range: ByteRange | None) -> Answer:
        status = 206 if byte_range else 200
        span = byte_range or ByteRange(0, target.size)
        if target.disk_start is not None:
            note_range(target.disk_start + span.start, target.disk_start + span.stop)
        if self.is_zero(target, span):
            return Answer(status, target, byte_range, ZeroBody(span.length))
        if self._cached is not None and target.takes_ranges:
            version = f"{target.key} {target.etag}"
            source = CachedObject(target.key, target.size, target.pin, version, target.image_id)
            if self._read_ahead is not None and target.disk_version is not None:
                self._read_ahead.note(source, target.disk_version, span)
            body = self._cached.open(source, span)
            if body is not None:
                return Answer(status, target, byte_range, body)
        opened = self._store.open(target.key, byte_range=byte_range, pin=target.pin)
        self._require_size(target, opened)
        _begin(opened.body)
        return Answer(status, _with_cache_control(target, opened.info), byte_range, opened.body)

    def _check_size(self, target: Representation, info: ObjectInfo) -> None:
        if info.size != target.size:
            _log.error(
                "%s has %d bytes in the store, but %d in the catalog", target.key, info.size, target.size
            )
            raise StoreError("the object's size in the store does not match the image's size")

    def _require_size(self, target: Representation, opened: OpenObject) -> None:
        try:
            self._check_size(target, opened.info)
        except StoreError:
            opened.body.close()
            raise

    def _read_replaced(self, target: Representation, request: ReadRequest) -> Answer:
        try:
            opened = self._store.open(target.key)
        except ObjectMissing as error:
            raise NotFound("the image's object is no longer in the store") from error
        except ObjectChanged as error:
            # The store rejected a precondition that was not sent.
            raise StoreError("the store sent inconsistent responses") from error
        if target.is_versioned:
            self._require_size(target, opened)
        new = _replaced(target, opened.info)
        try:
            bodiless = self.decide(new, ReadRequest(None, request.conditions, request.head))
        except PreconditionFailed:
            opened.body.close()
            raise
        if isinstance(bodiless, Answer) or request.head:
            opened.body.close()
            return bodiless if isinstance(bodiless, Answer) else Answer(200, new)
        _begin(opened.body)
        return Answer(200, new, None, opened.body)


@contextmanager
def _no_other_version(target: Representation) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        _log.error("the object of a readable image vanished: %s", target.key)
        raise NotFound("the image's object is no longer in the store") from error
    except ObjectChanged as error:
        _log.error("an immutable object was replaced: %s", target.key)
        raise StoreError("the image's object in the store was replaced by another one") from error


def _begin(body: ObjectBody) -> None:
    try:
        body.begin()
    except BodyBroken as error:
        raise StoreUnavailable("the store closed the connection before the first byte; try again") from error


def _with_cache_control(target: Representation, info: ObjectInfo) -> Representation:
    return replace(target, cache_control=info.cache_control)


def _replaced(target: Representation, info: ObjectInfo) -> Representation:
    return replace(
        target,
        size=info.size,
        etag=info.etag,
        last_modified=info.last_modified,
        cache_control=info.cache_control,
        pin=Pin(etag=info.etag),
        zero_map=None,
    )
