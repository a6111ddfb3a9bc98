"""ObjectStore: S3 operations on one bucket, with botocore's errors translated."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from image_gateway.errors import ObjectMissing, StoreError, StoreUnavailable, UploadMissing
from image_gateway.protocol.parts import ClaimedPart, StoredPart, newest_parts
from image_gateway.protocol.preconditions import quoted
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.client import StoreClients
from image_gateway.storage.errors import translate_errors
from image_gateway.storage.listings import ListedObject, OpenUpload
from image_gateway.storage.object_reads import ObjectInfo, ObjectReads, whole_seconds
from image_gateway.storage.part_signer import PartSigner
from image_gateway.storage.presigned_reader import ObjectReader
from image_gateway.storage.signed_writer import SignedWriter

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef, PartTypeDef

_log = logging.getLogger(__name__)


class ObjectStore(ObjectReads):
    """The objects of one bucket.

    All methods may raise StoreError (invalid or unexpected response) and StoreUnavailable (no response; a
    retry may succeed). Other errors are listed with the methods.
    """

    def __init__(self, clients: StoreClients, reads: ObjectReader | None = None) -> None:
        super().__init__(clients, reads)
        self._part_signer = PartSigner(clients)
        self._signed_writer = SignedWriter(clients)

    @property
    def _client(self) -> S3Client:
        return self._clients.requests

    def check_reachable(self) -> None:
        """Send HeadBucket. Raises StoreUnavailable if the bucket cannot be used for any reason."""
        try:
            with translate_errors("HeadBucket"):
                self._client.head_bucket(Bucket=self._bucket)
        except (ObjectMissing, StoreError) as error:
            raise StoreUnavailable("the bucket does not exist or denies access") from error

    def create_upload(self, key: str, *, cache_control: str) -> str:
        """Create a multipart upload of a disk image and return its upload id."""
        with translate_errors("CreateMultipartUpload"):
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
        """Return a presigned PUT URL for one part, valid for `lifetime` seconds, on the public host.

        If `length` is given it is signed, so the store rejects any other Content-Length.
        """
        with translate_errors("presign UploadPart"):
            return self._part_signer.sign(key, upload_id, number, lifetime=lifetime, length=length)

    def upload_origin(self) -> str:
        """Return `scheme://host[:port]` of the URLs that `sign_part` returns."""
        parts = urlsplit(self.sign_part("origin", "origin", 1, lifetime=1))
        return f"{parts.scheme}://{parts.netloc}"

    def list_parts(self, key: str, upload_id: str) -> list[StoredPart]:
        """Return all uploaded parts, ordered by number.

        A part that is uploaded again replaces the earlier one (AWS: UploadPart); SeaweedFS lists both.

        Raises:
            UploadMissing: There is no such upload.
        """
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=key, UploadId=upload_id
        )
        with translate_errors("ListParts", missing=UploadMissing):
            return newest_parts(
                (StoredPart(part["PartNumber"], quoted(part["ETag"]), part["Size"]), _uploaded_at(part))
                for page in pages
                for part in page.get("Parts", [])
            )

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        """Upload one part; the store checks its MD5.

        Raises:
            UploadMissing: There is no such upload.
        """
        with translate_errors("UploadPart", missing=UploadMissing):
            self._client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,  # type: ignore[arg-type]  # The SDK takes a bytearray, too.
                ContentMD5=_content_md5(data),
            )

    def copy_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        source_key: str,
        byte_range: ByteRange,
        *,
        source_etag: str | None = None,
    ) -> None:
        """Let the store copy bytes of another object into a part (AWS: UploadPartCopy).

        Raises:
            UploadMissing: There is no such upload, or no such object.
            ObjectChanged: The source has another ETag than `source_etag`. Not all stores look at it.
        """
        condition = {"CopySourceIfMatch": source_etag} if source_etag is not None else {}
        with translate_errors("UploadPartCopy", missing=UploadMissing):
            self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": source_key},
                CopySourceRange=f"bytes={byte_range.start}-{byte_range.stop - 1}",
                **condition,  # type: ignore[arg-type]
            )

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[ClaimedPart]) -> None:
        """Complete the upload from `parts`, which must be in ascending order.

        Raises:
            UploadMissing: There is no such upload.
            PartsRejected: The store rejected the list of parts.
        """
        listed: list[CompletedPartTypeDef] = [
            {"PartNumber": part.number, "ETag": quoted(part.etag)} for part in parts
        ]
        with translate_errors("CompleteMultipartUpload", missing=UploadMissing, parts=True):
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": listed}
            )

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort an upload and delete its parts. A missing upload is not an error."""
        try:
            with translate_errors("AbortMultipartUpload", missing=UploadMissing):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except UploadMissing:
            _log.info("the upload to abort no longer exists")

    def put(
        self, key: str, data: bytes, *, content_type: str, cache_control: str, sha256: str | None = None
    ) -> str:
        """Write an object and return its ETag.

        The store checks the MD5 of the data, or its SHA-256 in hex if that is given, which is faster.
        """
        if sha256 is not None:
            headers = {
                "Content-Type": content_type,
                "Content-Encoding": "identity",
                "Cache-Control": cache_control,
            }
            with translate_errors("PutObject"):
                etag = self._signed_writer.put(key, data, sha256, headers)
            if etag is not None:
                return quoted(etag)
        with translate_errors("PutObject"):
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                ContentEncoding="identity",
                CacheControl=cache_control,
                ContentMD5=_content_md5(data),
            )
            return quoted(answer["ETag"])

    def copy(
        self, source: str, target: str, *, source_etag: str, content_type: str, cache_control: str
    ) -> str:
        """Copy an object of at most 5 GiB within the store, with headers of its own; return the copy's ETag.

        AWS may send an error in the body of a 200 answer (API reference: CopyObject); the SDK retries it and
        then raises it.

        Raises:
            ObjectMissing: The source does not exist.
            ObjectChanged: The source has another ETag than `source_etag`.
        """
        with translate_errors("CopyObject"):
            answer = self._client.copy_object(
                Bucket=self._bucket,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": source},
                CopySourceIfMatch=source_etag,
                MetadataDirective="REPLACE",
                ContentType=content_type,
                ContentEncoding="identity",
                CacheControl=cache_control,
            )
            return quoted(answer["CopyObjectResult"]["ETag"])

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        """Yield all objects with this prefix, page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with translate_errors("ListObjectsV2"):
            for page in pages:
                for item in page.get("Contents", []):
                    yield ListedObject(
                        item["Key"], item["Size"], quoted(item["ETag"]), whole_seconds(item["LastModified"])
                    )

    def find_listed(self, key: str) -> ObjectInfo | None:
        """Return the facts of an object, or None if it is missing in the bucket's listing, too.

        For what acts on a missing object. The 404 of a HEAD has no error code: it may come from a proxy, or
        say that there is no such bucket, which is a StoreError here.
        """
        info = self.find(key)
        if info is None and any(item.key == key for item in self.list_objects(key)):
            # It may have been written meanwhile.
            info = self.find(key)
            if info is None:
                raise StoreUnavailable("the store lists an object that it does not find; try again")
        return info

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Yield the common prefixes up to the next slash after `prefix`, page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with translate_errors("ListObjectsV2"):
            for page in pages:
                for item in page.get("CommonPrefixes", []):
                    yield item["Prefix"]

    def list_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Yield all multipart uploads in progress with this prefix, page by page."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with translate_errors("ListMultipartUploads"):
            for page in pages:
                for item in page.get("Uploads", []):
                    yield OpenUpload(item["Key"], item["UploadId"], item["Initiated"].astimezone(UTC))

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete up to 1,000 objects in one request. Raises StoreError if any of them was not deleted."""
        listed: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys]
        with translate_errors("DeleteObjects"):
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": listed, "Quiet": True}
            )
        if answer.get("Errors"):
            _log.warning("DeleteObjects: the store failed to delete %d objects", len(answer["Errors"]))
            raise StoreError("the store failed to delete objects")

    def delete(self, key: str) -> None:
        """Delete an object. A missing object is not an error."""
        with translate_errors("DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=key)


def _content_md5(data: bytes | bytearray) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _uploaded_at(part: PartTypeDef) -> datetime:
    return part.get("LastModified", datetime.min.replace(tzinfo=UTC))
