"""Layout of an image's objects: S3 keys and the equal CloudFront paths.

`<base>/<ownerKey>/<imageId>/<version>/` contains `disk.img`, `manifest.json` and `chunks/`, so one signed
policy for the prefix covers all of them. What readers must not get lies beside it under `<version>.work/`:
the source that is converted, and other objects of jobs.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache


@lru_cache(maxsize=4096)
def owner_key(owner: str) -> str:
    """Return the path segment of an owner: 40 hex digits.

    These are the first 160 bits of the SHA-256 of the user id. The id itself may contain `/`, `?`, `*`, `%`
    or dot-segments, which break keys and are wildcards in CloudFront policies.
    """
    return hashlib.sha256(owner.encode()).hexdigest()[:40]


def normalise_base_path(text: str) -> str:
    """Return the base path without repeated or trailing slashes: `/a/b`, or the empty string for the root."""
    segments = [segment for segment in text.split("/") if segment]
    return "".join(f"/{segment}" for segment in segments)


def chunk_name(index: int, width: int) -> str:
    """Return the file name of a chunk: the index, zero-padded to `width` digits, and `.bin`."""
    return f"{index:0{width}d}.bin"


_UPLOAD_KEY = re.compile(
    r"(?:.*/)?[0-9a-f]{40}/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/[0-9a-f]+(?:/disk\.img|\.work/source)",
    re.ASCII,
)


_IMAGE_PREFIX = re.compile(r"(?:.*/)?[0-9a-f]{40}/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/", re.ASCII)


def image_of_prefix(prefix: str) -> str | None:
    """Return the image id in a prefix `<base>/<ownerKey>/<imageId>/`, or None if it has another form."""
    match = _IMAGE_PREFIX.fullmatch(prefix)
    return match[1] if match else None


def image_id_of(key: str) -> str | None:
    """Return the image id in the key of a disk or source, or None for any other key."""
    match = _UPLOAD_KEY.fullmatch(key)
    return match[1] if match else None


@dataclass(frozen=True)
class ImageLocation:
    """The location of one version of an image."""

    base_path: str
    owner: str
    image_id: str
    version: str

    @property
    def path(self) -> str:
        """URL path of the prefix, with a leading and without a trailing slash."""
        return f"{self.base_path}/{owner_key(self.owner)}/{self.image_id}/{self.version}"

    @property
    def prefix(self) -> str:
        """S3 key prefix, without a leading and with a trailing slash."""
        return f"{self.path.lstrip('/')}/"

    @cached_property
    def disk_key(self) -> str:
        return f"{self.prefix}disk.img"

    @property
    def work_prefix(self) -> str:
        """S3 key prefix of objects that no signed policy covers."""
        return f"{self.path.lstrip('/')}.work/"

    @property
    def source_key(self) -> str:
        """The uploaded or imported object that is converted to the disk."""
        return f"{self.work_prefix}source"

    @property
    def manifest_key(self) -> str:
        return f"{self.prefix}manifest.json"

    @property
    def image_prefix(self) -> str:
        """S3 key prefix of everything that belongs to the image."""
        return f"{self.base_path}/{owner_key(self.owner)}/{self.image_id}/".lstrip("/")

    @cached_property
    def zero_map_key(self) -> str:
        """The object that tells which regions of the disk are all zeros."""
        return f"{self.work_prefix}zeros"

    @property
    def deltas_prefix(self) -> str:
        """S3 key prefix of the objects of all deltas; no signed policy of a version covers it."""
        return f"{self.image_prefix}deltas/"

    def delta_key(self, delta_id: str, name: str) -> str:
        """The key of an object of a delta."""
        return f"{self.deltas_prefix}{delta_id}/{name}"

    @property
    def latest_key(self) -> str:
        """Key of the pointer to the newest manifest, beside the versions since it changes."""
        return f"{self.image_prefix}latest.json"

    @property
    def chunks_prefix(self) -> str:
        return f"{self.prefix}chunks/"

    def chunk_key(self, index: int, width: int) -> str:
        return f"{self.chunks_prefix}{chunk_name(index, width)}"
