"""Finds the manifest and the chunks of a published image."""

from __future__ import annotations

import re

from image_gateway.domain.images import ChunkedFacts, DiskFacts, ImageRecord
from image_gateway.errors import BadRequest, NotFound
from image_gateway.protocol.manifest import MAX_INDEX_WIDTH, ChunkGeometry
from image_gateway.services.reading.reader import zero_map_of
from image_gateway.services.reading.representations import OCTETS, Representation
from image_gateway.storage.object_reads import Pin

_NAME = re.compile(rf"([0-9]{{1,{MAX_INDEX_WIDTH}}})(\.bin)?", re.ASCII)


def find_manifest(record: ImageRecord) -> Representation:
    """Return the manifest; raises NotFound when the image is not published as chunks."""
    return _represent_manifest(record, _published(record))


def find_chunk(record: ImageRecord, disk: DiskFacts, name: str) -> Representation:
    """Return chunk `42` or `00000042.bin`.

    A `.bin` name is a file name, so its width must be the manifest's; a plain number may have any width.

    Raises:
        BadRequest: The name has neither form.
        NotFound: The image has no such chunk.
    """
    chunked = _published(record)
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadRequest(f"chunkIndex must be 1 to {MAX_INDEX_WIDTH} digits, optionally followed by .bin")
    index, geometry = int(match[1]), ChunkGeometry(disk.size, chunked.chunk_size)
    if index >= geometry.count:
        raise NotFound(f"there is no such chunk: the image has {geometry.count} chunks")
    if match[2] and len(match[1]) != chunked.index_width:
        raise NotFound(f"there is no such chunk: names ending in .bin have {chunked.index_width} digits")
    return _represent_chunk(record, chunked, geometry, index)


def _published(record: ImageRecord) -> ChunkedFacts:
    if record.chunked is None:
        raise NotFound("the image is not published as chunks")
    return record.chunked


def _represent_manifest(record: ImageRecord, chunked: ChunkedFacts) -> Representation:
    """Return the manifest of a published image; it is JSON, so it is always sent whole."""
    return Representation(
        image_id=record.image_id,
        key=record.location.manifest_key,
        size=chunked.manifest_size,
        etag=chunked.manifest_etag,
        last_modified=chunked.published_at,
        cache_control=chunked.cache_control,
        content_type="application/json",
        pin=Pin(etag=chunked.manifest_etag),
        takes_ranges=False,
    )


def _represent_chunk(
    record: ImageRecord, chunked: ChunkedFacts, geometry: ChunkGeometry, index: int
) -> Representation:
    """Return a chunk of a published image.

    The catalog stores no ETag for each of up to 500,000 chunks. The disk's hash, the chunk size and the
    index determine a chunk's bytes, so they make a strong ETag; reads are tied to the date of publishing.
    """
    return Representation(
        image_id=record.image_id,
        key=record.location.chunk_key(index, chunked.index_width),
        size=geometry.size_of(index),
        etag=f'"{chunked.disk_sha256[:32]}-{geometry.chunk_size}-{index}"',
        last_modified=chunked.published_at,
        cache_control=chunked.cache_control,
        content_type=OCTETS,
        pin=Pin(unmodified_since=chunked.published_at),
        is_versioned=True,
        disk_start=index * geometry.chunk_size,
        zero_map=zero_map_of(record, geometry.total_size, geometry.start_of(index)),
    )
