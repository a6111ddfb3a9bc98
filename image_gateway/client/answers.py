"""What the gateway answers, as values; what opens an upload stays out of every repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from image_gateway.client.credentials import Proof, bearer


@dataclass(frozen=True)
class NewUpload:
    """The answer to a create, or what is left of it when an upload is resumed."""

    image_id: str
    upload_id: str = field(repr=False)
    part_size: int


@dataclass(frozen=True)
class StoredPart:
    """A part that the store has; the ETag is quoted."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True)
class UploadStatus:
    """An upload that is under way, with the parts that the store has."""

    upload: NewUpload
    size: int | None
    sha256: str | None
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True)
class SignedParts:
    """Part number → URL, and when these expire by the server's clock."""

    urls: dict[int, str] = field(repr=False)
    expires_at: datetime
    server_time: datetime


@dataclass(frozen=True)
class Lease:
    """A permission to read one image for so many seconds by the server's clock; `final` with its session."""

    lease_id: str
    image_id: str
    proof: Proof = field(repr=False)
    lifetime: float
    final: bool


@dataclass(frozen=True)
class Manifest:
    """A chunked image as its readers need it."""

    version: str
    chunk_size: int
    width: int
    sha256s: list[str] = field(repr=False)


def new_upload(answer: dict[str, Any]) -> NewUpload:
    return NewUpload(answer["imageId"], answer["uploadId"], answer["partSize"])


def upload_status(answer: dict[str, Any]) -> UploadStatus:
    parts = tuple(StoredPart(part["partNumber"], part["size"], part["etag"]) for part in answer["parts"])
    return UploadStatus(new_upload(answer), answer.get("sizeBytes"), answer.get("sha256"), parts)


def signed_parts(answer: dict[str, Any]) -> SignedParts:
    urls = {item["partNumber"]: item["url"] for item in answer["urls"]}
    return SignedParts(
        urls, datetime.fromisoformat(answer["expiresAt"]), datetime.fromisoformat(answer["serverTime"])
    )


def lease(answer: dict[str, Any], date: str | None) -> Lease:
    """Read a lease; `date` is the answer's own, without which this machine's clock has to do."""
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
    hashes = [chunk["sha256"] for chunk in answer["chunks"]]
    return Manifest(answer["version"], answer["chunkSize"], answer["chunkIndexWidth"], hashes)
