"""What the catalog knows of an image, as plain values, and which of its states may follow which."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from image_gateway.protocol.layout import ImageLocation


class ImageState(StrEnum):
    """`uploading` until the store has joined the parts, then `complete` and readable.

    `failed` is an upload that was aborted, left alone too long or not what was declared; `deleted` stays
    as a record until nobody asks for it any more.
    """

    UPLOADING = "uploading"
    COMPLETE = "complete"
    FAILED = "failed"
    DELETED = "deleted"


LEGAL_TRANSITIONS: dict[ImageState, frozenset[ImageState]] = {
    ImageState.UPLOADING: frozenset({ImageState.COMPLETE, ImageState.FAILED, ImageState.DELETED}),
    ImageState.COMPLETE: frozenset({ImageState.DELETED}),
    ImageState.FAILED: frozenset({ImageState.DELETED}),
    ImageState.DELETED: frozenset(),
}


def states_before(state: ImageState) -> list[ImageState]:
    """The states from which `state` may be reached."""
    return [before for before, after in LEGAL_TRANSITIONS.items() if state in after]


class Kind(StrEnum):
    DISK = "disk"
    ISO = "iso"


class Visibility(StrEnum):
    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


@dataclass(frozen=True)
class UploadPlan:
    """How an image is uploaded; fixed when it is created.

    `part_size` in bytes; `size` and `sha256` are what the client declared, None when it did not. After
    `expires_at` the upload counts as left alone.
    """

    upload_id: str
    part_size: int
    size: int | None
    sha256: str | None
    expires_at: datetime


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
    """One image; `disk` is there when complete, `chunked` when published.

    `revision` grows with every change; `reserved_bytes` is what the image counts for in its owner's use;
    `purged_at` says since when a failed or deleted image has nothing left in the store.
    """

    image_id: str
    owner: str
    base_path: str
    version: str
    name: str
    kind: Kind
    visibility: Visibility
    state: ImageState
    plan: UploadPlan
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    reserved_bytes: int = 0
    purged_at: datetime | None = None
    disk: DiskFacts | None = None
    chunked: ChunkedFacts | None = None

    @cached_property
    def location(self) -> ImageLocation:
        """Where its objects lie; the base path is the one it was created under."""
        return ImageLocation(self.base_path, self.owner, self.image_id, self.version)

    @property
    def sha256(self) -> str | None:
        """The disk's SHA-256 in hex: computed when it was published, else as declared."""
        return self.chunked.disk_sha256 if self.chunked else self.plan.sha256


@dataclass(frozen=True)
class Usage:
    """What an owner's images count for together."""

    images: int
    bytes: int


@dataclass(frozen=True)
class Quota:
    """The most that one owner may have; None is no limit. Sizes in bytes."""

    images: int | None = None
    bytes: int | None = None
    bytes_per_image: int | None = None
    open_uploads: int | None = None

    @property
    def limits_bytes(self) -> bool:
        """Whether an upload's size must be known before it begins."""
        return self.bytes is not None or self.bytes_per_image is not None


@dataclass(frozen=True)
class ListQuery:
    """Which images to list: a user's own, or with `shared` what others share with the user.

    At most `limit`, newest first, after `after` (created at, id).
    """

    user: str
    limit: int
    state: ImageState | None = None
    name: str | None = None
    after: tuple[datetime, str] | None = None
    shared: bool = False
