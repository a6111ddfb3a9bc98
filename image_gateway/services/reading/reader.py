"""Answers reads: one decision from the catalog's record, one call to the store, one version per response."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

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
from image_gateway.services.reading.overlay import Sources, open_parts
from image_gateway.services.reading.read_ahead import ReadAhead
from image_gateway.services.reading.representations import (
    OCTETS,
    Answer,
    Overlay,
    ReadRequest,
    Representation,
)
from image_gateway.services.reading.zero_maps import ZeroBody, ZeroMapRef, ZeroMaps
from image_gateway.storage.body import Body, BodyBroken, ObjectBody
from image_gateway.storage.object_reads import ObjectInfo, OpenObject, Pin
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


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

        If the object is not the catalog's version, the whole object is returned with its own validators, but
        not below an overlay: bytes of two versions are never mixed.

        Raises:
            PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
            NotFound: The object is missing from the store.
            StoreError: An object of an overlay is missing from the store, or was replaced.
        """
        byte_range = self.decide(target, request)
        if isinstance(byte_range, Answer):
            return byte_range
        if target.overlay is not None:
            return self._read_overlaid(target, byte_range, head=request.head)
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
            StoreError: The object was replaced by another one, or one of an overlay is missing.
        """
        if target.overlay is not None:
            return self._open_overlaid(target.overlay, byte_range)
        with _no_other_version(target):
            body = self._open(target, byte_range).body
        if body is None:
            raise RuntimeError("an opened answer has a body")
        return body

    def require_version(self, target: Representation) -> None:
        """Check that the store has the pinned version; raises as `open_version`."""
        stored = target if target.overlay is None else target.overlay.base
        with _no_other_version(stored):
            self._head(stored)

    def sign(self, target: Representation, conditions: Conditions) -> str | None:
        """Return path and query of a presigned GET, for an nginx that serves single ranges by itself.

        Returns None when the gateway must answer: nginx only compares If-Match and If-Range with the current
        ETag of the object, and supports no other conditions. It reads one object, so it serves no overlays.
        """
        if not target.takes_ranges or not target.size or target.overlay is not None:
            return None
        own = (None,) if target.is_versioned else (None, target.etag)
        plain = Conditions(if_match=conditions.if_match, if_range=conditions.if_range)
        if conditions != plain or conditions.if_match not in own or conditions.if_range not in own:
            return None
        return self._store.sign_read(target.key)

    def is_zero(self, target: Representation, wanted: ByteRange) -> bool:
        """Return whether a range of a representation is known to hold only zeros."""
        if target.overlay is not None:
            return self._is_zero_overlaid(target.overlay, wanted)
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
        decision = decide(request.conditions, Validators(target.etag, target.last_modified))
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

    def _read_overlaid(self, target: Representation, byte_range: ByteRange | None, *, head: bool) -> Answer:
        if head:
            self.require_version(target)
            return Answer(200, target)
        body = self.open_version(target, byte_range or ByteRange(0, target.size))
        return Answer(206 if byte_range else 200, target, byte_range, body)

    def _open_overlaid(self, overlay: Overlay, wanted: ByteRange) -> Body:
        if not wanted.length:
            return ZeroBody(0)
        open_base = partial(self.open_version, overlay.base)
        return open_parts(overlay.parts(wanted), Sources(open_base, self._open_segment))

    def _open_segment(self, segment: CachedObject, wanted: ByteRange) -> Body:
        cached = self._cached.open(segment, wanted) if self._cached is not None else None
        if cached is not None:
            return cached
        body = self._store.open(segment.key, byte_range=wanted, pin=segment.pin).body
        _begin(body)
        return body

    def _is_zero_overlaid(self, overlay: Overlay, wanted: ByteRange) -> bool:
        return all(
            part.is_zero or (part.segment is None and self.is_zero(overlay.base, part.wanted))
            for part in overlay.parts(wanted)
        )

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
