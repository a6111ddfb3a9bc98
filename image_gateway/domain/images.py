"""Images as recorded in the catalog, and the transitions between their states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from image_gateway.protocol.layout import ImageLocation


class ImageState(StrEnum):
    """The state of an image.

    `uploading` lasts until the store has completed the multipart upload. Then a raw image is `complete` and
    readable; one of another format is `processing` while a job converts it, as are imports and empty disks.
    `failed` is an upload that was aborted, has expired or did not match its declaration, or a job that
    failed. `deleted` images remain as records.
    """

    UPLOADING = "uploading"
    PROCESSING = "processing"
    COMPLETE = "complete"
    FAILED = "failed"
    DELETED = "deleted"


LEGAL_TRANSITIONS: dict[ImageState, frozenset[ImageState]] = {
    ImageState.UPLOADING: frozenset(
        {ImageState.PROCESSING, ImageState.COMPLETE, ImageState.FAILED, ImageState.DELETED}
    ),
    ImageState.PROCESSING: frozenset({ImageState.COMPLETE, ImageState.FAILED, ImageState.DELETED}),
    ImageState.COMPLETE: frozenset({ImageState.DELETED}),
    ImageState.FAILED: frozenset({ImageState.DELETED}),
    ImageState.DELETED: frozenset(),
}


def states_before(state: ImageState) -> list[ImageState]:
    """Return the states from which `state` can be reached."""
    return [before for before, after in LEGAL_TRANSITIONS.items() if state in after]


# The states of images that count towards their owner's usage.
COUNTED = frozenset({ImageState.UPLOADING, ImageState.PROCESSING, ImageState.COMPLETE})


class ImageFormat(StrEnum):
    """The declared format of what is uploaded or imported; `auto` is found out from the bytes."""

    RAW = "raw"
    AUTO = "auto"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    ISO = "iso"


class Kind(StrEnum):
    DISK = "disk"
    ISO = "iso"


class Visibility(StrEnum):
    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


@dataclass(frozen=True)
class UploadPlan:
    """How an image is uploaded; fixed at creation, but for a SHA-256 that is declared at completion.

    `part_size` is in bytes. `size` and `sha256` are the client's declaration, or None. The upload expires at
    `expires_at`.
    """

    upload_id: str
    part_size: int
    size: int | None
    sha256: str | None
    expires_at: datetime


@dataclass(frozen=True)
class DiskFacts:
    """A complete disk object: size in bytes, quoted ETag, date, and its stored Cache-Control."""

    size: int
    etag: str
    last_modified: datetime
    cache_control: str | None


@dataclass(frozen=True)
class ChunkedFacts:
    """A published chunked version: its geometry and its manifest object.

    `disk_sha256` is the hex digest of the whole disk. `published_at` is the manifest's Last-Modified at the
    store; no chunk is newer.
    """

    chunk_size: int
    index_width: int
    disk_sha256: str
    manifest_size: int
    manifest_etag: str
    published_at: datetime
    cache_control: str


@dataclass(frozen=True)
class SourceFacts:
    """What was uploaded or imported to be converted: size in bytes, quoted ETag and date."""

    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class ImageRecord:
    """One image. `disk` is set when it is complete, `chunked` when it is published.

    `revision` grows with every change. `reserved_bytes` counts towards the owner's usage. `purged_at` is when
    a failed or deleted image was found to have no objects left in the store. `source` is set from the end of
    the upload or import of an image in another format than raw. `zero_map_bytes` is the size of the object
    that tells the all-zero regions, if there is one.
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
    format: ImageFormat = ImageFormat.RAW
    source: SourceFacts | None = None
    zero_map_bytes: int | None = None

    @cached_property
    def location(self) -> ImageLocation:
        """The location of its objects, with the base path at the time of creation."""
        return ImageLocation(self.base_path, self.owner, self.image_id, self.version)

    @property
    def upload_key(self) -> str:
        """The key of what is uploaded or imported: the disk, or the source that a job converts to it."""
        is_disk = self.format is ImageFormat.RAW
        return self.location.disk_key if is_disk else self.location.source_key

    @property
    def declared_disk_sha256(self) -> str | None:
        """The SHA-256 that was declared for the disk itself: that of a source is another one."""
        return self.plan.sha256 if self.format is ImageFormat.RAW else None

    @property
    def sha256(self) -> str | None:
        """The disk's SHA-256 in hex: computed if published, otherwise as declared."""
        return self.chunked.disk_sha256 if self.chunked else self.declared_disk_sha256


@dataclass(frozen=True)
class Usage:
    """The number and total bytes of an owner's images."""

    images: int
    bytes: int


@dataclass(frozen=True)
class Quota:
    """Limits of one owner; None is unlimited. Sizes in bytes."""

    images: int | None = None
    bytes: int | None = None
    bytes_per_image: int | None = None
    open_uploads: int | None = None

    @property
    def limits_bytes(self) -> bool:
        """Whether the size of an upload must be declared in advance."""
        return self.bytes is not None or self.bytes_per_image is not None


@dataclass(frozen=True)
class ListQuery:
    """Selects a user's own images, or with `shared` those that others share with the user.

    Returns at most `limit`, newest first, after the cursor `after` (created at, id).
    """

    user: str
    limit: int
    state: ImageState | None = None
    name: str | None = None
    after: tuple[datetime, str] | None = None
    shared: bool = False
