"""What the store holds of a published image: its options, its all-zero chunks, and `latest.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass

from image_gateway.domain.images import ChunkedFacts, ImageRecord
from image_gateway.errors import (
    BadRequest,
    InvalidState,
    ObjectChanged,
    ObjectMissing,
    StoreError,
    StoreUnavailable,
)
from image_gateway.protocol.cache_control import check_cache_control, short_lived
from image_gateway.protocol.manifest import (
    MAX_MANIFEST_BYTES,
    ChunkGeometry,
    ManifestError,
    parse_manifest,
)
from image_gateway.services.zero_chunks import md5_of
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.objects import ObjectStore

LATEST_SCHEMA = "aero.chunked-disk-image.latest.v1"
CHECKSUMS = ("sha256", "none")


@dataclass(frozen=True)
class PublishOptions:
    """Options of a publication that show in its objects."""

    with_sha256: bool
    cache_control: str


class PublishedObjects:
    """Reads the objects of published images, and writes the pointer to the newest manifest."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def has_sha256(self, record: ImageRecord) -> bool | None:
        """Return whether the image's manifest has hashes of chunks; None if it has no usable manifest."""
        text = self._read(record.location.manifest_key, MAX_MANIFEST_BYTES) if record.chunked else None
        if text is None:
            return None
        try:
            chunks = parse_manifest(text).chunks
        except ManifestError:
            return None
        return any(chunk.sha256 for chunk in chunks or ())

    def find_published(self, record: ImageRecord) -> ChunkedFacts | None:
        """Return the facts of the image's manifest as the store has it, or None if it has no usable one.

        They are those of the record if the manifest is still the one that the record names.
        """
        key, known = record.location.manifest_key, record.chunked
        info = self._store.find(key)
        if info is None:
            return None
        if known is not None and (info.etag, info.last_modified) == (known.manifest_etag, known.published_at):
            return known
        text = self._read(key, MAX_MANIFEST_BYTES)
        try:
            manifest = parse_manifest(text or b"")
        except ManifestError:
            return None
        algorithm, _, digest = manifest.version.partition("-")
        if algorithm != "sha256" or manifest.image_id != record.image_id:
            return None
        return ChunkedFacts(
            chunk_size=manifest.geometry.chunk_size,
            index_width=manifest.index_width,
            disk_sha256=digest,
            manifest_size=info.size,
            manifest_etag=info.etag,
            published_at=info.last_modified,
            cache_control=info.cache_control or "",
        )

    def find_zero_chunks(
        self, record: ImageRecord, chunked: ChunkedFacts, geometry: ChunkGeometry
    ) -> list[int] | None:
        """Return the indexes of the all-zero chunks, by their MD5.

        None if an object of the published version is missing, has another size, or was written later.
        """
        stored = {
            item.key: (item.size, item.etag)
            for item in self._store.list_objects(record.location.prefix)
            if item.last_modified <= chunked.published_at
        }
        if stored.get(record.location.manifest_key, (0, ""))[0] != chunked.manifest_size:
            return None
        sizes = {geometry.size_of(0), geometry.size_of(geometry.count - 1)}
        zero_etags = {size: f'"{md5_of(bytes(size))}"' for size in sizes}
        zeros = []
        for index in range(geometry.count):
            size, etag = stored.get(record.location.chunk_key(index, chunked.index_width), (0, ""))
            if size != geometry.size_of(index):
                return None
            if etag == zero_etags[size]:
                zeros.append(index)
        return zeros

    def point_to(self, record: ImageRecord, version: str, cache_control: str) -> None:
        """Write `latest.json` unless it is right already."""
        location = record.location
        document = {
            "schema": LATEST_SCHEMA,
            "imageId": record.image_id,
            "version": version,
            "manifestKey": location.manifest_key,
            # Relative to latest.json.
            "manifestUrl": f"{location.version}/manifest.json",
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        if self._read(location.latest_key, 2 * len(text)) != text:
            self._store.put(
                location.latest_key,
                text,
                content_type="application/json",
                cache_control=short_lived(cache_control),
            )

    def _read(self, key: str, at_most: int) -> bytes | None:
        """Return an object's bytes; None if it is missing, unusable or larger than `at_most` bytes."""
        try:
            opened = self._store.open(key)
            if opened.info.size > at_most:
                opened.body.close()
                return None
            return opened.body.read_all()
        except (ObjectMissing, ObjectChanged, StoreError):
            return None
        except BodyBroken as error:
            raise StoreUnavailable(
                "the store closed the connection early; publish again to continue"
            ) from error


def resolve_options(
    objects: PublishedObjects,
    record: ImageRecord,
    checksum: str | None,
    cache_control: str | None,
    default_cache_control: str,
) -> PublishOptions:
    """Return the options in force: those of the published version, or the given ones, or the defaults.

    Raises:
        BadRequest: An option is invalid.
        InvalidState: The image is published with other options, which cannot change.
    """
    if checksum not in (None, *CHECKSUMS):
        raise BadRequest(f"checksum must be one of {', '.join(CHECKSUMS)}")
    if cache_control is not None:
        try:
            check_cache_control(cache_control)
        except ValueError as error:
            raise BadRequest(str(error)) from None
    published = record.chunked.cache_control if record.chunked else None
    if None not in (published, cache_control) and published != cache_control:
        raise InvalidState(f"the image is published with Cache-Control {published}, which cannot change")
    wanted = None if checksum is None else checksum == "sha256"
    with_sha256 = objects.has_sha256(record)
    if None not in (with_sha256, wanted) and with_sha256 != wanted:
        name = "with" if with_sha256 else "without"
        raise InvalidState(f"the image is published {name} SHA-256 of chunks, which cannot change")
    if with_sha256 is None:
        with_sha256 = wanted is not False
    return PublishOptions(with_sha256, published or cache_control or default_cache_control)
