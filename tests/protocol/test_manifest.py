"""The chunked manifest: every limit at its edges, every field that breaks a rule named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from image_gateway.protocol.manifest import (
    DEFAULT_CHUNK_SIZE,
    MAX_CHUNK_SIZE,
    MAX_CHUNKS,
    MAX_INDEX_WIDTH,
    MAX_MANIFEST_BYTES,
    SECTOR,
    ChunkFacts,
    ChunkGeometry,
    Manifest,
    ManifestError,
    build_manifest,
    check_geometry,
    parse_manifest,
)

HASH = "0123456789abcdef" * 4
SOUND: dict[str, Any] = {
    "schema": "aero.chunked-disk-image.v1",
    "imageId": "image-1",
    "version": "sha256-abc",
    "mimeType": "application/octet-stream",
    "totalSize": 2560,
    "chunkSize": 1024,
    "chunkCount": 3,
    "chunkIndexWidth": 8,
    "chunks": [{"size": 1024, "sha256": HASH}, {"sha256": HASH}, {"size": 512}],
}


def parse(**changes: Any) -> Manifest:
    return parse_manifest(json.dumps({**SOUND, **changes}).encode())


def parse_without(missing: str) -> Manifest:
    document = {name: value for name, value in SOUND.items() if name != missing}
    return parse_manifest(json.dumps(document).encode())


def sized(count: int, **changes: Any) -> Manifest:
    """A manifest of so many chunks of one sector, without their list."""
    total = count * SECTOR
    return parse(totalSize=total, chunkSize=SECTOR, chunkCount=count, chunks=None, **changes)


def test_a_sound_manifest() -> None:
    facts = (ChunkFacts(1024, HASH), ChunkFacts(None, HASH), ChunkFacts(512, None))
    assert parse() == Manifest("image-1", "sha256-abc", ChunkGeometry(2560, 1024), 8, facts)
    assert parse().to_json() == json.dumps(SOUND, separators=(",", ":")).encode()


def test_the_limits_are_those_of_the_format() -> None:
    assert DEFAULT_CHUNK_SIZE == 4_194_304
    assert MAX_CHUNK_SIZE == MAX_MANIFEST_BYTES == 67_108_864
    assert (MAX_CHUNKS, MAX_INDEX_WIDTH, SECTOR) == (500_000, 32, 512)


@pytest.mark.parametrize("chunk_size", [512, 1024, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE - 512, MAX_CHUNK_SIZE])
def test_chunk_sizes_in_range(chunk_size: int) -> None:
    assert check_geometry(512, chunk_size) == ChunkGeometry(512, chunk_size)


@pytest.mark.parametrize(
    "chunk_size",
    [-512, -1, 0, 1, 511, 513, 1023, MAX_CHUNK_SIZE - 1, MAX_CHUNK_SIZE + 1, MAX_CHUNK_SIZE + 512],
)
def test_chunk_sizes_out_of_range(chunk_size: int) -> None:
    with pytest.raises(ManifestError, match=f"^chunkSize must be a multiple of 512 .*not {chunk_size}$"):
        check_geometry(512, chunk_size)


@pytest.mark.parametrize("total_size", [-512, -1, 0, 1, 511, 513, 1023, 1025])
def test_total_sizes_out_of_range(total_size: int) -> None:
    with pytest.raises(
        ManifestError, match=f"^totalSize must be a positive multiple of 512, not {total_size}$"
    ):
        check_geometry(total_size, 512)


@pytest.mark.parametrize(
    ("total_size", "chunk_size", "count", "last"),
    [
        (512, 512, 1, 512),
        (512, 1024, 1, 512),
        (1024, 1024, 1, 1024),
        (1536, 1024, 2, 512),
        (2048, 1024, 2, 1024),
        ((MAX_CHUNKS - 1) * 512, 512, MAX_CHUNKS - 1, 512),
        (MAX_CHUNKS * 512, 512, MAX_CHUNKS, 512),
        (MAX_CHUNKS * 1024 - 512, 1024, MAX_CHUNKS, 512),
        (MAX_CHUNKS * MAX_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_CHUNKS, MAX_CHUNK_SIZE),
    ],
)
def test_geometry(total_size: int, chunk_size: int, count: int, last: int) -> None:
    geometry = check_geometry(total_size, chunk_size)
    assert (geometry.count, geometry.size_of(count - 1)) == (count, last)


@pytest.mark.parametrize("total_size", [MAX_CHUNKS * 1024 + 512, MAX_CHUNKS * 1024 + 1024, 10**30 * 512])
def test_more_chunks_than_allowed(total_size: int) -> None:
    with pytest.raises(ManifestError, match="chunks exceed the maximum of 500000: choose chunks of at least"):
        check_geometry(total_size, 1024)


def test_the_most_chunks_that_a_manifest_takes() -> None:
    assert sized(MAX_CHUNKS).geometry.count == MAX_CHUNKS
    with pytest.raises(ManifestError, match=r"^500001 chunks exceed the maximum of 500000"):
        sized(MAX_CHUNKS + 1)


@pytest.mark.parametrize(
    ("count", "width", "fits"),
    [
        (1, 0, False),
        (1, 1, True),
        (10, 1, True),
        (11, 1, False),
        (11, 2, True),
        (100, 2, True),
        (101, 2, False),
        (100_000, 5, True),
        (100_001, 5, False),
        (1, MAX_INDEX_WIDTH, True),
        (1, MAX_INDEX_WIDTH + 1, False),
        (1, -1, False),
    ],
)
def test_index_width(count: int, width: int, fits: bool) -> None:
    if fits:
        assert sized(count, chunkIndexWidth=width).index_width == width
    else:
        with pytest.raises(
            ManifestError, match=r"^chunkIndexWidth must be wide enough for the last index and at most 32"
        ):
            sized(count, chunkIndexWidth=width)


@pytest.mark.parametrize(("missing", "expected"), [("chunkIndexWidth", 8), ("chunks", None)])
def test_optional_fields(missing: str, expected: object) -> None:
    manifest = parse_without(missing)
    assert {"chunkIndexWidth": manifest.index_width, "chunks": manifest.chunks}[missing] == expected


@pytest.mark.parametrize("missing", [name for name in SOUND if name not in ("chunkIndexWidth", "chunks")])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(ManifestError, match=f"^{missing} must be "):
        parse_without(missing)


BROKEN = [
    *[
        ("schema", value)
        for value in ("", "aero.chunked-disk-image.v2", "AERO.chunked-disk-image.v1", None, 1, [])
    ],
    *[("mimeType", value) for value in ("", "application/json", "Application/Octet-Stream", None, {})],
    *[(name, value) for name in ("imageId", "version") for value in ("", None, 7, True, [], {})],
    *[
        (name, value)
        for name in ("totalSize", "chunkSize", "chunkCount", "chunkIndexWidth")
        for value in ("512", None, 512.0, True, False, [512], {}, 1e3)
    ],
    *[("totalSize", value) for value in (0, -512, 513)],
    *[("chunkSize", value) for value in (0, -512, 513, MAX_CHUNK_SIZE + 512)],
    *[("chunkCount", value) for value in (-1, 0, 2, 4)],
    *[("chunkIndexWidth", value) for value in (-1, 0, 33)],
    *[("chunks", value) for value in ([], [{}, {}], [{}, {}, {}, {}], {}, "", 3, False)],
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_field_names_itself(name: str, value: object) -> None:
    with pytest.raises(ManifestError, match=f"^{name} must "):
        parse(**{name: value})


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        *[(entry, r"\] must be an object$") for entry in (None, [], "", 0, False)],
        *[
            ({"size": size}, r"\]\.size must be \d+$")
            for size in (0, -1, 511, 513, 1023, 1025, 2048, "1024", True)
        ],
        *[({"size": size}, r"\]\.size must be \d+$") for size in (1024.0, 512.0, [], {}, False)],
        *[
            ({"sha256": text}, r"\]\.sha256 must be 64 lower-case hex digits$")
            for text in ("", HASH[1:], HASH + "0", HASH.upper(), HASH[1:] + "g", HASH + "\n", 0, [], True)
        ],
        ({"sha256": "\u0663" * 64}, r"\]\.sha256 must be 64 lower-case hex digits$"),
    ],
)
def test_a_broken_chunk_names_itself(index: int, entry: object, rule: str) -> None:
    chunks = [{}, {}, {}]
    chunks[index] = entry
    with pytest.raises(ManifestError, match=rf"^chunks\[{index}{rule}"):
        parse(chunks=chunks)


@pytest.mark.parametrize("sizes", [(1024, 1024, 1024), (512, 1024, 1024), (1024, 512, 512)])
def test_only_the_last_chunk_is_shorter(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ManifestError, match=r"^chunks\[[012]\]\.size must be"):
        parse(chunks=[{"size": size} for size in sizes])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"\xff\xfe\xff", id="no text"),
        pytest.param(b'{"schema": "\xff"}', id="no UTF-8"),
        pytest.param(b'{"a":' * 100_000, id="too deep"),
        pytest.param(b'{"totalSize": ' + b"9" * 5000 + b"}", id="a number of 5000 digits"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"null", id="null"),
        pytest.param(b"NaN", id="not a number"),
    ],
)
def test_what_is_no_json_object(text: bytes) -> None:
    with pytest.raises(ManifestError, match=r"^the manifest is not (JSON|a JSON object)$"):
        parse_manifest(text)


def test_the_most_bytes_of_a_manifest() -> None:
    text = json.dumps(SOUND).encode().ljust(MAX_MANIFEST_BYTES)
    assert parse_manifest(text) == parse()
    with pytest.raises(ManifestError, match=r"^a manifest may have at most 67108864 bytes$"):
        parse_manifest(text + b" ")


def test_unknown_fields_are_passed_over() -> None:
    assert parse(comment="hello", chunks=[{"etag": "x"}, {}, {}]).chunks == (ChunkFacts(),) * 3


def test_building_from_wrong_facts_fails() -> None:
    with pytest.raises(ManifestError, match=r"^chunks must be a list of 2 entries$"):
        build_manifest("image", "v1", check_geometry(1024, 512), 8, [ChunkFacts()])
