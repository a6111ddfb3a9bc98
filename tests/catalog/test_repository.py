"""The catalog: compare-and-set, and nothing lost by a restart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.records import ChunkedFacts, DiskFacts, ImageRecord, ImageState
from image_gateway.catalog.repository import Catalog

NOW = datetime(2026, 11, 22, 19, 0, 1, tzinfo=UTC)
DISK = DiskFacts(100 * 2**30, '"etag-2"', NOW, "private, no-store, no-transform")
CHUNKED = ChunkedFacts(1024, 8, "ab" * 32, 99, '"manifest"', NOW, "no-transform")


def record(image_id: str = "a" * 36) -> ImageRecord:
    return ImageRecord(
        image_id=image_id,
        owner="alice",
        base_path="/images",
        version="v",
        state=ImageState.UPLOADING,
        upload_id="u1",
        part_size=5 * 2**20,
        created_at=NOW,
    )


def test_a_record_survives_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    catalog.add(record())
    assert catalog.complete("a" * 36, "u1", DISK)
    reopened = Catalog(open_engine(f"sqlite:///{tmp_path}/catalog.db"))
    found = reopened.find("a" * 36)
    assert found == replace(record(), state=ImageState.COMPLETE, disk=DISK)
    assert found.disk is not None
    assert found.disk.last_modified.tzinfo is not None


def test_find_nothing(catalog: Catalog) -> None:
    assert catalog.find("b" * 36) is None


@pytest.mark.parametrize(("image_id", "upload_id"), [("a" * 36, "u2"), ("b" * 36, "u1")])
def test_complete_needs_the_image_and_its_upload(catalog: Catalog, image_id: str, upload_id: str) -> None:
    catalog.add(record())
    assert not catalog.complete(image_id, upload_id, DISK)
    assert catalog.find("a" * 36) == record()


def test_complete_happens_once_among_many(catalog: Catalog) -> None:
    catalog.add(record())
    with ThreadPoolExecutor(16) as pool:
        facts = [replace(DISK, size=size) for size in range(16)]
        won = list(pool.map(lambda disk: catalog.complete("a" * 36, "u1", disk), facts))
    assert won.count(True) == 1
    found = catalog.find("a" * 36)
    assert found is not None
    assert found.disk == facts[won.index(True)]


def test_the_first_chunk_size_holds(catalog: Catalog) -> None:
    catalog.add(record())
    assert catalog.claim_chunk_size("a" * 36, 1024) is None
    catalog.complete("a" * 36, "u1", DISK)
    assert catalog.claim_chunk_size("a" * 36, 1024) == 1024
    assert catalog.claim_chunk_size("a" * 36, 2048) == 1024
    assert not catalog.publish("a" * 36, replace(CHUNKED, chunk_size=2048))
    found = catalog.find("a" * 36)
    assert found is not None
    assert found.chunked is None
    assert catalog.publish("a" * 36, CHUNKED)
    published = catalog.find("a" * 36)
    assert published is not None
    assert published.chunked == CHUNKED


def test_a_date_without_a_zone_is_refused(catalog: Catalog) -> None:
    with pytest.raises(Exception, match="without a zone"):
        catalog.add(replace(record(), created_at=datetime(2026, 1, 1)))  # noqa: DTZ001
