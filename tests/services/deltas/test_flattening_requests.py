"""Tests of requests to make an image of a delta: the generation is kept, and quotas hold."""

from __future__ import annotations

import pytest

from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ImageState, Quota
from image_gateway.domain.jobs import JobKind
from image_gateway.errors import NotFound, QuotaExceeded
from image_gateway.services.deltas.flattening import is_hold
from tests.support.delta_flattening import make_flattening
from tests.support.delta_world import DeltaWorld
from tests.support.delta_writing import OWNER


def test_a_request_makes_an_image_and_keeps_the_generation(delta_world: DeltaWorld) -> None:
    guest, catalog = delta_world.guest(), delta_world.world.catalog
    guest.write(3, b"a" * 512)
    record, job = make_flattening(delta_world).request(guest.delta_id, OWNER, name="flat.img")
    made = catalog.find(record.image_id)
    assert made is not None
    assert (made.state, made.owner, made.name) == (ImageState.PROCESSING, "alice", "flat.img")
    assert made.reserved_bytes == len(delta_world.base)
    assert (job.kind, job.params["generation"]) == (JobKind.FLATTEN, 1)
    (kept,) = catalog.delta_objects.snapshots(guest.delta_id)
    assert (kept.generation, kept.snapshot_id, is_hold(kept)) == (1, job.job_id, True)


def test_what_is_over_the_quota_keeps_nothing(delta_world: DeltaWorld) -> None:
    guest, catalog = delta_world.guest(), delta_world.world.catalog
    with pytest.raises(QuotaExceeded):
        make_flattening(delta_world, Quota(bytes=1)).request(guest.delta_id, OWNER, name="flat.img")
    assert catalog.delta_objects.snapshots(guest.delta_id) == []


def test_only_the_owner_may_and_only_a_kept_generation(delta_world: DeltaWorld, stranger: Caller) -> None:
    guest = delta_world.guest()
    with pytest.raises(NotFound):
        make_flattening(delta_world).request(guest.delta_id, stranger, name="flat.img")
    with pytest.raises(NotFound, match="no generation 5"):
        make_flattening(delta_world).request(guest.delta_id, OWNER, name="flat.img", generation=5)


def test_a_snapshot_of_a_user_is_no_hold(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    name = "flatten 00000000-0000-4000-8000-000000000000"
    assert not is_hold(delta_world.services.history.snapshot(guest.delta_id, OWNER, name, None))
