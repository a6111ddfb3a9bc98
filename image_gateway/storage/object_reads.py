"""Reads objects: each read is one call of the store, tied to one version, its answer checked.

Bytes that are not exactly those asked for are never passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError
from image_gateway.observability.metrics import STORE_CALLS
from image_gateway.protocol.preconditions import quoted
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.body import ObjectBody, ReadableStream
from image_gateway.storage.client import StoreClients
from image_gateway.storage.errors import STORE_ERRORS, translate_error, translate_errors
from image_gateway.storage.presigned_reader import ObjectReader, SdkReader

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectInfo:
    """Size in bytes, quoted ETag, aware UTC date of whole seconds, and headers of an object."""

    size: int
    etag: str
    last_modified: datetime
    cache_control: str | None
    content_type: str | None = None
    content_encoding: str | None = None


@dataclass(frozen=True)
class Pin:
    """The version that a read is tied to: an ETag, or the latest date of writing."""

    etag: str | None = None
    unmodified_since: datetime | None = None

    def holds_for(self, info: ObjectInfo) -> bool:
        """Whether an object with these facts is the pinned version."""
        if self.unmodified_since is not None and info.last_modified > self.unmodified_since:
            return False
        return self.etag in (None, info.etag)

    def as_arguments(self) -> dict[str, Any]:
        named = {"IfMatch": self.etag, "IfUnmodifiedSince": self.unmodified_since}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class OpenObject:
    """An object being read: its facts, and the body, which the receiver must close."""

    info: ObjectInfo
    body: ObjectBody


class ObjectReads:
    """Reads objects of one bucket; see ObjectStore for the errors that all methods raise."""

    def __init__(self, clients: StoreClients, reads: ObjectReader | None = None) -> None:
        self._clients = clients
        self._reads = reads or SdkReader(clients)
        self._bucket = clients.address.bucket

    def head(self, key: str) -> ObjectInfo:
        """Return the facts of an object; raises ObjectMissing."""
        with translate_errors("HeadObject"):
            answer = self._clients.requests.head_object(Bucket=self._bucket, Key=key)
            _check_encoding(answer)
            return _info(answer, answer["ContentLength"])

    def find(self, key: str) -> ObjectInfo | None:
        """Return the facts of an object, or None if there is none."""
        try:
            return self.head(key)
        except ObjectMissing:
            return None

    def sign_read(self, key: str) -> str:
        """Path and query of a presigned GET of an object, good for ten minutes and more; a secret."""
        url = self._reads.sign(key)
        return f"{url.path}?{url.query}"

    def open(
        self,
        key: str,
        *,
        byte_range: ByteRange | None = None,
        pin: Pin | None = None,
        any_encoding: bool = False,
    ) -> OpenObject:
        """Open an object, or one range of it, at the pinned version.

        Raises ObjectMissing, and ObjectChanged when the object is not the pinned version: a store may not
        know If-Match, so what each answer says of the version is compared as well. A ranged answer without
        the right Content-Range, or any without a length or with an encoding, is a StoreError. With
        `any_encoding` the encoding is left to the caller: it is in the facts.
        """
        info, stream = self._get(key, byte_range, pin or Pin(), any_encoding=any_encoding)
        start, length = (byte_range.start, byte_range.length) if byte_range else (0, info.size)
        version = replace(pin or Pin(), etag=info.etag)

        def reopen(sent: int) -> ReadableStream:
            rest_range = ByteRange(start + sent, start + length)
            again, rest = self._get(key, rest_range, version, once=True, any_encoding=any_encoding)
            if again.size != info.size:
                rest.close()
                raise ObjectChanged(key)
            return rest

        return OpenObject(info, ObjectBody(stream, length, reopen))

    def _get(
        self,
        key: str,
        byte_range: ByteRange | None,
        pin: Pin,
        *,
        once: bool = False,
        any_encoding: bool = False,
    ) -> tuple[ObjectInfo, ReadableStream]:
        """One call to the store: the object's facts, and the checked answer's stream."""
        arguments: dict[str, Any] = {"Range": byte_range.as_request()} if byte_range else {}
        STORE_CALLS.inc()
        try:
            answer = self._reads.get(key, {**arguments, **pin.as_arguments()}, once=once)
        except STORE_ERRORS as error:
            raise translate_error("GetObject", error) from error
        try:
            if not any_encoding:
                _check_encoding(answer)
            _check_length(answer)
            size = _check_range(answer, byte_range) if byte_range else answer["ContentLength"]
            info = _info(answer, size)
            if not pin.holds_for(info):
                raise ObjectChanged(key)
            return info, answer["Body"]
        except BaseException as error:
            answer["Body"].close()
            if isinstance(error, STORE_ERRORS):
                raise translate_error("GetObject", error) from error
            raise


def _info(answer: Mapping[str, Any], size: int) -> ObjectInfo:
    modified = whole_seconds(answer["LastModified"])
    return ObjectInfo(
        size,
        quoted(answer["ETag"]),
        modified,
        answer.get("CacheControl"),
        answer.get("ContentType"),
        answer.get("ContentEncoding"),
    )


def whole_seconds(moment: datetime) -> datetime:
    """Return the date as HTTP has it: UTC without fractions of a second."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _check_encoding(answer: Mapping[str, Any]) -> None:
    """Refuse an object that is stored encoded, so that its bytes are not the image's."""
    encoding = answer.get("ContentEncoding")
    if encoding not in (None, "", "identity"):
        _log.error("rejecting an object with Content-Encoding %r", encoding)
        raise StoreError("the object is stored with a Content-Encoding, so its bytes are not the image's")


def _check_length(answer: Mapping[str, Any]) -> None:
    """Refuse an answer whose end cannot be told from its being cut off (RFC 9112 §6.3)."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if answer.get("ContentLength", -1) < 0 or "transfer-encoding" in headers:
        _log.error("rejecting a response of the store without a Content-Length")
        raise StoreError("the store's response has no Content-Length")


def _check_range(answer: Mapping[str, Any], wanted: ByteRange) -> int:
    """Return the object's size from Content-Range; StoreError unless exactly `wanted` was answered."""
    unit, _, size = str(answer.get("ContentRange", "")).partition("/")
    expected, _, _ = wanted.as_content_range(0).partition("/")
    if (
        unit != expected
        or not (size.isascii() and size.isdigit())
        or answer["ContentLength"] != wanted.length
    ):
        _log.error("requested %s, the store answered Content-Range %r", expected, answer.get("ContentRange"))
        raise StoreError("the store did not return the requested range")
    return int(size)
