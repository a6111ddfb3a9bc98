"""Finds the manifest and the chunks of a published image."""

from __future__ import annotations

import re

from image_gateway.domain.images import ChunkedFacts, DiskFacts, ImageRecord
from image_gateway.errors import BadRequest, NotFound
from image_gateway.protocol.manifest import MAX_INDEX_WIDTH, ChunkGeometry
from image_gateway.services.reading.reader import Representation, represent_chunk, represent_manifest

_NAME = re.compile(rf"([0-9]{{1,{MAX_INDEX_WIDTH}}})(\.bin)?", re.ASCII)


def find_manifest(record: ImageRecord) -> Representation:
    """Return the manifest; raises NotFound when the image is not published as chunks."""
    return represent_manifest(record, _published(record))


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
    return represent_chunk(record, chunked, geometry, index)


def _published(record: ImageRecord) -> ChunkedFacts:
    if record.chunked is None:
        raise NotFound("the image is not published as chunks")
    return record.chunked
