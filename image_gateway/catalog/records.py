"""What the catalog knows of an image, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from image_gateway.protocol.layout import ImageLocation


class ImageState(StrEnum):
    """`uploading` until the store has joined the parts, then `complete` and readable."""

    UPLOADING = "uploading"
    COMPLETE = "complete"


@dataclass(frozen=True)
class DiskFacts:
    """A complete disk object: size in bytes, quoted ETag, date, and the Cache-Control it is stored with."""

    size: int
    etag: str
    last_modified: datetime
    cache_control: str | None


@dataclass(frozen=True)
class ChunkedFacts:
    """A published chunked version: how the disk is cut, and its manifest object.

    `disk_sha256` is the hex digest of the whole disk; `published_at` is the manifest's date at the
    store, which no chunk is younger than.
    """

    chunk_size: int
    index_width: int
    disk_sha256: str
    manifest_size: int
    manifest_etag: str
    published_at: datetime
    cache_control: str


@dataclass(frozen=True)
class ImageRecord:
    """One image; `disk` is there when complete, `chunked` when published."""

    image_id: str
    owner: str
    base_path: str
    version: str
    state: ImageState
    upload_id: str
    part_size: int
    created_at: datetime
    disk: DiskFacts | None = None
    chunked: ChunkedFacts | None = None

    @property
    def location(self) -> ImageLocation:
        """Where its objects lie; the base path is the one it was created under."""
        return ImageLocation(self.base_path, self.owner, self.image_id, self.version)
