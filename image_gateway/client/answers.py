"""Dataclasses for API responses; upload ids, URLs and tokens are excluded from every repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from image_gateway.client.credentials import Credentials, bearer


@dataclass(frozen=True)
class NewUpload:
    """A multipart upload, newly created or to be resumed."""

    image_id: str
    upload_id: str = field(repr=False)
    part_size: int


@dataclass(frozen=True)
class StoredPart:
    """A part stored in S3; `etag` includes the quotes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True)
class UploadStatus:
    """An open upload and its stored parts."""

    upload: NewUpload
    size: int | None
    sha256: str | None
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True)
class SignedParts:
    """Presigned URLs by part number, and their expiry by the server's clock."""

    urls: dict[int, str] = field(repr=False)
    expires_at: datetime
    server_time: datetime


@dataclass(frozen=True)
class Lease:
    """Permission to read one image.

    `lifetime` is in seconds by the server's clock. `final` means that the lease ends with its session and
    cannot be renewed.
    """

    lease_id: str
    image_id: str
    credentials: Credentials = field(repr=False)
    lifetime: float
    final: bool


@dataclass(frozen=True)
class Manifest:
    """The manifest of a chunked image; `width` is the number of digits in a chunk's file name."""

    version: str
    chunk_size: int
    width: int
    sha256s: list[str] = field(repr=False)


def new_upload(answer: dict[str, Any]) -> NewUpload:
    """Parse the response to a create request."""
    return NewUpload(answer["imageId"], answer["uploadId"], answer["partSize"])


def upload_status(answer: dict[str, Any]) -> UploadStatus:
    """Parse the status of an open upload."""
    parts = tuple(StoredPart(part["partNumber"], part["size"], part["etag"]) for part in answer["parts"])
    return UploadStatus(new_upload(answer), answer.get("sizeBytes"), answer.get("sha256"), parts)


def signed_parts(answer: dict[str, Any]) -> SignedParts:
    """Parse a batch of presigned part URLs."""
    urls = {item["partNumber"]: item["url"] for item in answer["urls"]}
    return SignedParts(
        urls, datetime.fromisoformat(answer["expiresAt"]), datetime.fromisoformat(answer["serverTime"])
    )


def lease(answer: dict[str, Any], date: str | None) -> Lease:
    """Parse a lease; `date` is the response's Date header, without which the local clock is used."""
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    end, session_end = (datetime.fromisoformat(answer[name]) for name in ("expiresAt", "sessionEndsAt"))
    return Lease(
        str(answer["leaseId"]),
        str(answer["imageId"]),
        bearer(answer["token"]),
        (end - now).total_seconds(),
        end >= session_end,
    )


def manifest(answer: dict[str, Any]) -> Manifest:
    """Parse a chunk manifest."""
    hashes = [chunk["sha256"] for chunk in answer["chunks"]]
    return Manifest(answer["version"], answer["chunkSize"], answer["chunkIndexWidth"], hashes)
