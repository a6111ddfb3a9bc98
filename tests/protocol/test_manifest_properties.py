"""The chunked manifest over all geometries, and over any JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.protocol.manifest import (
    MAX_CHUNK_SIZE,
    SECTOR,
    ChunkFacts,
    Manifest,
    ManifestError,
    build_manifest,
    check_geometry,
    parse_manifest,
)

SOUND = json.loads(build_manifest("image", "v1", check_geometry(1536, 1024), 8, [ChunkFacts()] * 2).to_json())
unhurried = settings(deadline=None)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    chunk_size = draw(st.integers(1, MAX_CHUNK_SIZE // SECTOR)) * SECTOR
    sectors = draw(st.integers(1, 20 * chunk_size // SECTOR))
    geometry = check_geometry(sectors * SECTOR, chunk_size)
    hashes = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)
    facts = [
        ChunkFacts(draw(st.sampled_from([None, geometry.size_of(index)])), draw(hashes))
        for index in range(geometry.count)
    ]
    names = st.text(min_size=1, max_size=20)
    return Manifest(draw(names), draw(names), geometry, draw(st.integers(2, 32)), tuple(facts))


@unhurried
@given(manifest=manifests())
def test_round_trip(manifest: Manifest) -> None:
    assert parse_manifest(manifest.to_json()) == manifest


@unhurried
@given(manifest=manifests())
def test_chunks_lie_end_to_end(manifest: Manifest) -> None:
    geometry, end = manifest.geometry, 0
    for index in range(geometry.count):
        assert geometry.start_of(index) == end
        assert 0 < geometry.size_of(index) <= geometry.chunk_size
        end += geometry.size_of(index)
    assert end == geometry.total_size


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def problem_with(name: str, value: object) -> str | None:
    try:
        parse_manifest(json.dumps({**SOUND, name: value}).encode())
    except ManifestError as error:
        return str(error)
    return None


@unhurried
@given(
    name=st.sampled_from(["schema", "imageId", "version", "mimeType", "chunkCount", "chunks"]),
    value=json_values,
)
def test_any_value_of_a_field_is_taken_or_refused_by_name(name: str, value: object) -> None:
    problem = problem_with(name, value)
    assert problem is None or problem.startswith((f"{name} must be ", f"{name}["))


@unhurried
@given(document=json_values | st.dictionaries(st.sampled_from(sorted(SOUND)), json_values))
def test_any_other_document_is_refused(document: object) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(document).encode())
