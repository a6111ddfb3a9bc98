"""Deltas and commits as the catalog would hold them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.deltas import Commit, CommitKind, Delta, NamedObject, Snapshot
from image_gateway.domain.images import ImageState
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

DELTA_ID = "00000000-0000-4000-8000-0000000000d1"
DELTA = Delta(
    delta_id=DELTA_ID,
    image_id=IMAGE_ID,
    version="f" * 16,
    disk_size=DISK.size,
    owner="alice",
    name="a delta",
    block_size=4096,
    created_at=NOW,
    updated_at=NOW,
)


def add_image(catalog: Catalog, image_id: str = IMAGE_ID, **changes: Any) -> None:
    """Add a complete image of alice without bytes."""
    catalog.add(make_record(image_id, state=ImageState.COMPLETE, disk=DISK, **changes), FREE)


def add_delta(catalog: Catalog, **changes: Any) -> Delta:
    """Add a delta, over an image that is there."""
    delta = replace(DELTA, **changes)
    assert catalog.deltas.add(delta, FREE)
    return delta


def make_commit(generation: int, *, epoch: int = 0, **changes: Any) -> Commit:
    """A commit of 100 bytes with a key of its own."""
    commit = Commit(
        generation=generation,
        epoch=epoch,
        kind=CommitKind.COMMIT,
        name=f"{generation}-{uuid.uuid4().hex}.seg",
        size=100,
        etag='"e"',
        extents=1,
        blocks=1,
        sha256="ab" * 32,
        idempotency_key=str(uuid.uuid4()),
        created_at=NOW,
    )
    return replace(commit, **changes)


def make_snapshot(**changes: Any) -> Snapshot:
    """A snapshot of generation 1, whose checkpoint has 7 bytes."""
    return replace(Snapshot("s1", DELTA_ID, "before", 1, "s1.map", 7, NOW), **changes)


def named(name: str, size: int = 50, delta_id: str = DELTA_ID) -> NamedObject:
    """An object of the delta."""
    return NamedObject(delta_id, name, size)
