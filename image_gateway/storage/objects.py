"""ObjectStore: the store's verbs in the domain's words; botocore's errors become named facts here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from image_gateway.errors import ObjectChanged, ObjectMissing, StoreError, StoreUnavailable, UploadMissing
from image_gateway.metrics.instruments import STORE_CALLS
from image_gateway.protocol.parts import ClaimedPart, StoredPart, newest_parts, quoted
from image_gateway.protocol.ranges import Part
from image_gateway.storage.answers import check_encoding, check_length, check_range
from image_gateway.storage.body import ObjectBody, ReadableStream
from image_gateway.storage.client import StoreClients
from image_gateway.storage.facts import named_facts
from image_gateway.storage.part_signer import PartSigner
from image_gateway.storage.reads import Reads, SdkReads

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef, PartTypeDef

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectInfo:
    """What the store says of an object: size in bytes, quoted ETag, aware UTC date of whole seconds."""

    size: int
    etag: str
    last_modified: datetime
    cache_control: str | None


@dataclass(frozen=True)
class Pin:
    """The version a read is tied to: its ETag, or the latest date it may have been written."""

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


@dataclass(frozen=True)
class ListedObject:
    """A line of a listing; the date is aware UTC of whole seconds."""

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload that is neither completed nor aborted; `initiated` is aware UTC."""

    key: str
    upload_id: str
    initiated: datetime


class ObjectStore:
    """One bucket. Each method says which facts of `image_gateway.errors` it raises besides
    StoreError (the answer cannot be used) and StoreUnavailable (no answer, try again)."""

    def __init__(self, clients: StoreClients, reads: Reads | None = None) -> None:
        self._clients = clients
        self._reads = reads or SdkReads(clients)
        self._part_signer = PartSigner(clients)
        self._bucket = clients.address.bucket

    @property
    def _client(self) -> S3Client:
        return self._clients.requests

    def check_reachable(self) -> None:
        """Ask for the bucket; StoreUnavailable, whatever the reason, when it cannot be used."""
        try:
            with named_facts("HeadBucket"):
                self._client.head_bucket(Bucket=self._bucket)
        except (ObjectMissing, StoreError) as error:
            raise StoreUnavailable("the bucket is missing or refuses this gateway") from error

    def create_upload(self, key: str, *, cache_control: str) -> str:
        """Begin a multipart upload of a disk image and return its upload id."""
        with named_facts("CreateMultipartUpload"):
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                ContentType="application/octet-stream",
                ContentEncoding="identity",
                CacheControl=cache_control,
            )
        return answer["UploadId"]

    def sign_part(
        self, key: str, upload_id: str, number: int, *, lifetime: int, length: int | None = None
    ) -> str:
        """Return a URL that PUTs one part for `lifetime` seconds, for the host that browsers use.

        A `length` is signed into it, so that the store refuses any other Content-Length.
        """
        with named_facts("presign UploadPart"):
            return self._part_signer.sign(key, upload_id, number, lifetime=lifetime, length=length)

    def list_parts(self, key: str, upload_id: str) -> list[StoredPart]:
        """Return the parts that the store would join, all pages, by number; raises UploadMissing.

        A part that was sent again replaces the earlier one (AWS: UploadPart). SeaweedFS lists both.
        """
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=key, UploadId=upload_id
        )
        with named_facts("ListParts", missing=UploadMissing):
            return newest_parts(
                (StoredPart(part["PartNumber"], quoted(part["ETag"]), part["Size"]), _sent_at(part))
                for page in pages
                for part in page.get("Parts", [])
            )

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[ClaimedPart]) -> None:
        """Join the parts, given in ascending order; raises UploadMissing or PartsRejected."""
        listed: list[CompletedPartTypeDef] = [
            {"PartNumber": part.number, "ETag": quoted(part.etag)} for part in parts
        ]
        with named_facts("CompleteMultipartUpload", missing=UploadMissing, parts=True):
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": listed}
            )

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Throw an upload and its parts away; one that is gone already is no error."""
        try:
            with named_facts("AbortMultipartUpload", missing=UploadMissing):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except UploadMissing:
            _log.info("the upload to abort was gone already")

    def head(self, key: str) -> ObjectInfo:
        """Return the facts of an object; raises ObjectMissing."""
        with named_facts("HeadObject"):
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
            check_encoding(answer)
            return _info(answer, answer["ContentLength"])

    def sign_read(self, key: str) -> str:
        """Path and query of a presigned GET of an object, good for ten minutes and more; a secret."""
        url = self._reads.sign(key)
        return f"{url.path}?{url.query}"

    def open(self, key: str, *, part: Part | None = None, pin: Pin | None = None) -> OpenObject:
        """Begin to read an object, or one part of it, of the pinned version.

        Raises ObjectMissing, and ObjectChanged when the object is not the pinned version: a store may not
        know If-Match, so what each answer says of the version is compared as well. A ranged answer without
        the right Content-Range, or any without a length or with an encoding, is a StoreError.
        """
        info, stream = self._get(key, part, pin or Pin())
        start, length = (part.start, part.length) if part else (0, info.size)
        version = replace(pin or Pin(), etag=info.etag)

        def reopen(sent: int) -> ReadableStream:
            again, rest = self._get(key, Part(start + sent, start + length), version, once=True)
            if again.size != info.size:
                rest.close()
                raise ObjectChanged(key)
            return rest

        return OpenObject(info, ObjectBody(stream, length, reopen))

    def _get(
        self, key: str, part: Part | None, pin: Pin, *, once: bool = False
    ) -> tuple[ObjectInfo, ReadableStream]:
        """One call to the store: the object's facts, and the checked answer's stream."""
        arguments: dict[str, Any] = {"Range": part.as_request()} if part else {}
        STORE_CALLS.inc()
        with named_facts("GetObject"):
            answer = self._reads.get(key, {**arguments, **pin.as_arguments()}, once=once)
        try:
            with named_facts("GetObject"):
                check_encoding(answer)
                check_length(answer)
                size = check_range(answer, part) if part else answer["ContentLength"]
                info = _info(answer, size)
            if not pin.holds_for(info):
                raise ObjectChanged(key)
            return info, answer["Body"]
        except BaseException:
            answer["Body"].close()
            raise

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str) -> None:
        """Write a whole object."""
        with named_facts("PutObject"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                ContentEncoding="identity",
                CacheControl=cache_control,
            )

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        """Yield every object under a prefix, page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with named_facts("ListObjectsV2"):
            for page in pages:
                for item in page.get("Contents", []):
                    yield ListedObject(
                        item["Key"], item["Size"], quoted(item["ETag"]), _whole_seconds(item["LastModified"])
                    )

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Yield the prefixes that end at the next slash after this one, page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with named_facts("ListObjectsV2"):
            for page in pages:
                for item in page.get("CommonPrefixes", []):
                    yield item["Prefix"]

    def list_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Yield every open multipart upload under a prefix, page by page."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with named_facts("ListMultipartUploads"):
            for page in pages:
                for item in page.get("Uploads", []):
                    yield OpenUpload(item["Key"], item["UploadId"], item["Initiated"].astimezone(UTC))

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove up to 1,000 objects in one call; StoreError when the store kept one of them."""
        listed: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys]
        with named_facts("DeleteObjects"):
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": listed, "Quiet": True}
            )
        if answer.get("Errors"):
            _log.warning("DeleteObjects: the store kept %d objects", len(answer["Errors"]))
            raise StoreError("the store refused to delete objects")

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        with named_facts("DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=key)


def _info(answer: Mapping[str, Any], size: int) -> ObjectInfo:
    modified = _whole_seconds(answer["LastModified"])
    return ObjectInfo(size, quoted(answer["ETag"]), modified, answer.get("CacheControl"))


def _sent_at(part: PartTypeDef) -> datetime:
    return part.get("LastModified", datetime.min.replace(tzinfo=UTC))


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
