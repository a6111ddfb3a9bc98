"""Builds, writes, parses and validates manifests of the format `aero.chunked-disk-image.v1`.

A chunked image consists of a manifest and chunk objects of equal size (the last may be shorter), which
clients read with plain GETs. docs/reference/chunked-format.md describes the rules and limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = "aero.chunked-disk-image.v1"
MIME_TYPE = "application/octet-stream"
SECTOR = 512
DEFAULT_CHUNK_SIZE = 4 * 1024 * 1024
MAX_CHUNK_SIZE = 64 * 1024 * 1024
MAX_CHUNKS = 500_000
DEFAULT_INDEX_WIDTH = 8
MAX_INDEX_WIDTH = 32
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ManifestError(ValueError):
    """A manifest or its sizes are invalid; the message names the field and the rule."""


@dataclass(frozen=True)
class ChunkFacts:
    """Size and SHA-256 of one chunk in a manifest; None if not given."""

    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class ChunkGeometry:
    """How `total_size` bytes are divided into chunks: all have `chunk_size` bytes except the last."""

    total_size: int
    chunk_size: int

    @property
    def count(self) -> int:
        return -(-self.total_size // self.chunk_size)

    def start_of(self, index: int) -> int:
        return index * self.chunk_size

    def size_of(self, index: int) -> int:
        return min(self.chunk_size, self.total_size - self.start_of(index))


@dataclass(frozen=True)
class Manifest:
    """A valid manifest. Create one with `build_manifest` or `parse_manifest`."""

    image_id: str
    version: str
    geometry: ChunkGeometry
    index_width: int
    chunks: tuple[ChunkFacts, ...] | None

    def to_json(self) -> bytes:
        """Return the manifest as compact JSON; equal manifests give equal bytes."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "imageId": self.image_id,
            "version": self.version,
            "mimeType": MIME_TYPE,
            "totalSize": self.geometry.total_size,
            "chunkSize": self.geometry.chunk_size,
            "chunkCount": self.geometry.count,
            "chunkIndexWidth": self.index_width,
        }
        if self.chunks is not None:
            document["chunks"] = [_facts_to_json(facts) for facts in self.chunks]
        return json.dumps(document, separators=(",", ":")).encode()


def check_geometry(total_size: int, chunk_size: int) -> ChunkGeometry:
    """Return the geometry, or raise ManifestError if a size is out of range or no multiple of 512 bytes."""
    if not 0 < chunk_size <= MAX_CHUNK_SIZE or chunk_size % SECTOR:
        raise ManifestError(
            f"chunkSize must be a multiple of {SECTOR} from {SECTOR} to {MAX_CHUNK_SIZE}, not {chunk_size}"
        )
    if total_size <= 0 or total_size % SECTOR:
        raise ManifestError(f"totalSize must be a positive multiple of {SECTOR}, not {total_size}")
    geometry = ChunkGeometry(total_size, chunk_size)
    if geometry.count > MAX_CHUNKS:
        least_size = -(-total_size // MAX_CHUNKS)
        raise ManifestError(
            f"{geometry.count} chunks exceed the maximum of {MAX_CHUNKS}: "
            f"choose chunks of at least {least_size} bytes"
        )
    return geometry


def build_manifest(
    image_id: str, version: str, geometry: ChunkGeometry, index_width: int, chunks: Sequence[ChunkFacts]
) -> Manifest:
    """Build the manifest of a newly chunked image."""
    return parse_manifest(Manifest(image_id, version, geometry, index_width, tuple(chunks)).to_json())


def parse_manifest(text: bytes) -> Manifest:
    """Parse and validate a manifest. Raises ManifestError, which names the invalid field."""
    if len(text) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"a manifest may have at most {MAX_MANIFEST_BYTES} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError("the manifest is not JSON") from error
    if not isinstance(document, dict):
        raise ManifestError("the manifest is not a JSON object")
    return _validate(document)


def _validate(document: dict[str, Any]) -> Manifest:
    _require_constant(document, "schema", SCHEMA)
    _require_constant(document, "mimeType", MIME_TYPE)
    geometry = check_geometry(
        _require_integer(document, "totalSize"), _require_integer(document, "chunkSize")
    )
    if _require_integer(document, "chunkCount") != geometry.count:
        raise ManifestError(f"chunkCount must be {geometry.count}, not {document['chunkCount']}")
    width = (
        _require_integer(document, "chunkIndexWidth")
        if "chunkIndexWidth" in document
        else DEFAULT_INDEX_WIDTH
    )
    if not len(str(geometry.count - 1)) <= width <= MAX_INDEX_WIDTH:
        raise ManifestError(
            f"chunkIndexWidth must be wide enough for the last index and at most {MAX_INDEX_WIDTH}"
        )
    return Manifest(
        _require_string(document, "imageId"),
        _require_string(document, "version"),
        geometry,
        width,
        _parse_chunks(document, geometry),
    )


def _parse_chunks(document: dict[str, Any], geometry: ChunkGeometry) -> tuple[ChunkFacts, ...] | None:
    entries = document.get("chunks")
    if entries is None:
        return None
    if not isinstance(entries, list) or len(entries) != geometry.count:
        raise ManifestError(f"chunks must be a list of {geometry.count} entries")
    return tuple(_parse_chunk(index, entry, geometry) for index, entry in enumerate(entries))


def _parse_chunk(index: int, entry: Any, geometry: ChunkGeometry) -> ChunkFacts:
    if not isinstance(entry, dict):
        raise ManifestError(f"chunks[{index}] must be an object")
    size, sha256 = entry.get("size"), entry.get("sha256")
    if size is not None and (type(size) is not int or size != geometry.size_of(index)):
        raise ManifestError(f"chunks[{index}].size must be {geometry.size_of(index)}")
    if sha256 is not None and (not isinstance(sha256, str) or not _SHA256.fullmatch(sha256)):
        raise ManifestError(f"chunks[{index}].sha256 must be 64 lower-case hex digits")
    return ChunkFacts(size, sha256)


def _facts_to_json(facts: ChunkFacts) -> dict[str, Any]:
    fields = {"size": facts.size, "sha256": facts.sha256}
    return {name: value for name, value in fields.items() if value is not None}


def _require_constant(document: dict[str, Any], name: str, value: str) -> None:
    if document.get(name) != value:
        raise ManifestError(f"{name} must be {value}")


def _require_integer(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int:
        raise ManifestError(f"{name} must be an integer")
    return value


def _require_string(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"{name} must be a non-empty string")
    return value
