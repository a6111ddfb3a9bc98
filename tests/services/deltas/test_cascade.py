"""Tests of deleting images that have deltas."""

from __future__ import annotations

import time

import pytest

from image_gateway.domain.images import ImageState, Quota
from image_gateway.errors import HasDeltas, PreconditionFailed
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.images import CASCADES, Images
from image_gateway.services.purging import Purger
from image_gateway.services.reading.access import Access
from tests.support.delta_world import DeltaWorld
from tests.support.delta_writing import OWNER


@pytest.fixture
def images(delta_world: DeltaWorld) -> Images:
    world = delta_world.world
    access = Access(world.catalog, world.catalog.shares, hide_foreign=True, remember=0, clock=time.time)
    trail = AuditTrail(world.catalog.audit_entries, time.time)
    return Images(
        world.catalog, Purger(world.catalog, world.store, time.time), access, Quota(), trail, time.time
    )


def test_an_image_with_deltas_is_not_deleted(delta_world: DeltaWorld, images: Images) -> None:
    guests = [delta_world.guest(), delta_world.guest()]
    with pytest.raises(HasDeltas, match="has 2 deltas"):
        images.delete(delta_world.image_id, OWNER, revision=None)
    delta_world.services.deltas.delete(guests[0].delta_id, OWNER, generation=None)
    with pytest.raises(HasDeltas, match="has 1 delta:"):
        images.delete(delta_world.image_id, OWNER, revision=None)


def test_cascade_deletes_the_deltas_of_all_owners(delta_world: DeltaWorld, images: Images) -> None:
    catalog = delta_world.world.catalog
    mine = delta_world.guest()
    mine.write(1, b"x" * 512)
    image = catalog.find(delta_world.image_id)
    assert image is not None
    images.delete(delta_world.image_id, OWNER, revision=image.revision, cascade=True)
    deleted = catalog.find(delta_world.image_id)
    assert deleted is not None
    assert deleted.state is ImageState.DELETED
    assert (mine.row.state.value, catalog.usage("alice").bytes) == ("deleted", 0)
    assert list(delta_world.world.store.list_objects("")) == []
    events = [entry.event for entry in catalog.audit_entries.list(image.image_id, after=None, limit=9)]
    assert {"delta deleted", "image deleted"} <= set(events)
    images.delete(delta_world.image_id, OWNER, revision=None, cascade=True)


def test_another_revision_deletes_no_deltas(delta_world: DeltaWorld, images: Images) -> None:
    guest = delta_world.guest()
    with pytest.raises(PreconditionFailed):
        images.delete(delta_world.image_id, OWNER, revision=999, cascade=True)
    assert guest.row.state.value == "active"


def test_deltas_that_are_created_meanwhile_are_deleted_too(
    delta_world: DeltaWorld, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    delta_world.guest()
    deltas, made = delta_world.world.catalog.deltas, []
    find_active = deltas.find_active

    def create_then_find(image_id: str, *, limit: int) -> object:
        if len(made) < CASCADES - 2:
            made.append(delta_world.guest().delta_id)
        return find_active(image_id, limit=limit)

    monkeypatch.setattr(deltas, "find_active", create_then_find)
    images.delete(delta_world.image_id, OWNER, revision=None, cascade=True)
    assert deltas.count_active(delta_world.image_id) == 0
