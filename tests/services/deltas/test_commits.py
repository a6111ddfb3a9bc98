"""Tests of commits: applied wholly or not at all, once, and by the newest session alone."""

import dataclasses

import pytest

from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import COMMITS_PER_CHECKPOINT
from image_gateway.domain.images import Quota
from image_gateway.errors import (
    BadRequest,
    Fenced,
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
)
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.services.deltas import commits
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.leases import LeaseRequest
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, make_request, read_disk

BLOCK = 512


def read(world: DeltaWorld, delta_id: str, generation: int | None = None) -> bytes:
    fresh = make_services(world.world)
    return read_disk(world.world, fresh, delta_id, world.base, generation)


def test_what_was_committed_is_read_again(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(3, b"a" * BLOCK)
    guest.write(2, b"b" * 2 * BLOCK)
    guest.write(0, None, count=3)
    guest.write(300, b"c" * BLOCK)
    assert read(delta_world, guest.delta_id) == guest.disk
    assert guest.row.generation == 4


def test_the_base_and_older_generations_stay(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    disks = [bytes(guest.disk)]
    for number in range(5):
        guest.write(number, bytes([65 + number]) * BLOCK)
        disks.append(bytes(guest.disk))
    assert [read(delta_world, guest.delta_id, at) for at in range(6)] == disks


def test_checkpoints_are_written_and_read(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    for number in range(3 * COMMITS_PER_CHECKPOINT + 5):
        guest.write(number % 40, bytes([number % 251]) * BLOCK)
    row = guest.row
    assert row.checkpoint_generation == 3 * COMMITS_PER_CHECKPOINT
    assert read(delta_world, guest.delta_id) == guest.disk
    with pytest.raises(NotFound, match="generation 7 is no longer kept"):
        read(delta_world, guest.delta_id, 7)
    assert read(delta_world, guest.delta_id, 0) == delta_world.base


def test_a_checkpoint_is_due_after_many_extents(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "EXTENTS_PER_CHECKPOINT", 5)
    guest = delta_world.guest()
    for generation in range(4):
        extents = [Extent(block, 1) for block in (1, 3, 5)]
        guest.send(make_request(BLOCK, generation, extents))
    assert (guest.row.checkpoint_generation, guest.row.recent_extents) == (2, 6)


def test_a_key_makes_one_commit(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    request = make_request(BLOCK, 0, [Extent(1, 1, b"x" * BLOCK)], key="same")
    first, again = guest.send(request), guest.send(request)
    assert (first.generation, again.generation, guest.row.generation) == (1, 1, 1)
    other = make_request(BLOCK, 1, [Extent(1, 1, b"y" * BLOCK)], key="same")
    with pytest.raises(IdempotencyKeyReused):
        guest.send(other)
    assert read(delta_world, guest.delta_id)[BLOCK : 2 * BLOCK] == b"x" * BLOCK


def test_an_older_session_is_fenced_but_learns_of_its_commit(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    request = make_request(BLOCK, 0, [Extent(1, 1, b"x" * BLOCK)])
    guest.send(request)
    older = guest.writer
    guest.open_session()
    assert guest.services.commits.commit(guest.delta_id, older, request).generation == 1
    late = make_request(BLOCK, 1, [Extent(1, 1, b"z" * BLOCK)])
    with pytest.raises(Fenced):
        guest.services.commits.commit(guest.delta_id, older, late)
    guest.write(1, b"w" * BLOCK)
    assert read(delta_world, guest.delta_id) == guest.disk


def test_a_stale_generation_is_told_the_current_one(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(1, b"x" * BLOCK)
    with pytest.raises(PreconditionFailed) as refused:
        guest.send(make_request(BLOCK, 0, [Extent(1, 1, b"y" * BLOCK)]))
    assert refused.value.headers["ETag"] == '"1"'


def test_only_a_session_writes(delta_world: DeltaWorld, stranger: Caller) -> None:
    guest = delta_world.guest()
    request = make_request(BLOCK, 0, [Extent(1, 1, b"x" * BLOCK)])
    for caller in (OWNER, stranger):
        with pytest.raises(Forbidden):
            guest.services.commits.commit(guest.delta_id, caller, request)
    other = delta_world.guest()
    with pytest.raises(Forbidden):
        guest.services.commits.commit(other.delta_id, guest.writer, request)
    with pytest.raises(NotFound):
        guest.services.deltas.open_session(guest.delta_id, stranger, LeaseRequest(WRITING))


def test_wrong_bytes_are_refused(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    request = make_request(BLOCK, 0, [Extent(1, 1, b"x" * BLOCK)])
    for changed in (
        dataclasses.replace(request, sha256="0" * 64),
        dataclasses.replace(request, body=request.body + b"x"),
        make_request(BLOCK, 0, [Extent(301, 1, b"x" * BLOCK)]),
        make_request(4096, 0, [Extent(0, 1, b"x" * 4096)]),
    ):
        with pytest.raises(BadRequest):
            guest.send(changed)
    assert guest.row.generation == 0


def test_the_quota_of_bytes_holds(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    used = delta_world.world.catalog.usage("alice").bytes
    guest.services = make_services(delta_world.world, Quota(bytes=used + 2000))
    guest.write(1, b"x" * BLOCK)
    with pytest.raises(QuotaExceeded, match="delete images or deltas first"):
        guest.write(1, b"y" * 4 * BLOCK)
    assert read(delta_world, guest.delta_id) == guest.disk
    guest.services.deltas.delete(guest.delta_id, OWNER, generation=None)
    assert delta_world.world.catalog.usage("alice").bytes == used


def test_reset_returns_to_older_contents_and_fences(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(1, b"x" * BLOCK)
    kept = guest.services.history.snapshot(guest.delta_id, OWNER, "before", None)
    snapshot = bytes(guest.disk)
    for number in range(70):
        guest.write(number, b"y" * BLOCK)
    reset = guest.services.history.reset(guest.delta_id, OWNER, kept.generation)
    assert reset.generation == 72
    assert read(delta_world, guest.delta_id) == snapshot
    assert read(delta_world, guest.delta_id, kept.generation) == snapshot
    with pytest.raises(Fenced):
        guest.write(1, b"z" * BLOCK)
    guest.open_session()
    guest.services.history.reset(guest.delta_id, OWNER, 0)
    assert read(delta_world, guest.delta_id) == delta_world.base


def test_a_fork_goes_its_own_way(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    guest.write(1, b"x" * BLOCK)
    fork = guest.services.deltas.fork(guest.delta_id, OWNER, generation=None, name="fork")
    before = bytes(guest.disk)
    guest.write(1, b"y" * BLOCK)
    assert read(delta_world, fork.delta_id) == before
    assert (fork.generation, fork.parent is not None) == (0, True)
