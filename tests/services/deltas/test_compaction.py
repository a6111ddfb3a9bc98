"""Tests of compaction: contents stay, little is rewritten, and whoever comes in between wins."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from image_gateway.domain.clock import now_of
from image_gateway.domain.jobs import JobKind, JobState, new_job
from image_gateway.protocol.deltas import compaction_plan
from image_gateway.protocol.deltas.compaction_plan import find_victims
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.services.deltas.compaction import ATTEMPTS, Compaction
from image_gateway.services.jobs.compacting import Compacting
from image_gateway.services.jobs.worker import Worker
from tests.support.delta_equation import sweep_later
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, Guest, make_request, read_disk

# The bytes come from the store.
pytestmark = pytest.mark.any_database

BLOCK = 512


@pytest.fixture(autouse=True)
def small_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_plan, "MIN_FREED", BLOCK)


def write_scattered(guest: Guest, commits: int, seed: int = 1) -> None:
    """Commit 20 random blocks of the first 100 each time."""
    chance = random.Random(seed)
    for _ in range(commits):
        blocks = sorted(chance.sample(range(100), 20))
        data = {block: chance.randbytes(BLOCK) for block in blocks}
        extents = [Extent(block, 1, data[block]) for block in blocks]
        guest.send(make_request(BLOCK, guest.generation, extents))
        for block in blocks:
            guest.disk[block * BLOCK : (block + 1) * BLOCK] = data[block]


def read(delta_world: DeltaWorld, delta_id: str, generation: int | None = None) -> bytes:
    fresh = make_services(delta_world.world)
    return read_disk(delta_world.world, fresh, delta_id, delta_world.base, generation)


def compact(delta_world: DeltaWorld) -> JobState:
    """Run a compaction of the image to its end, and return the job's state."""
    world = delta_world.world
    job = world.catalog.jobs.add(new_job(delta_world.image_id, JobKind.COMPACT, now_of(time.time)))
    handlers = {JobKind.COMPACT: Compacting(world.catalog, world.store, time.time).run}
    Worker(world.catalog.jobs, handlers).run_one()
    ended = world.catalog.jobs.find(job.job_id)
    assert ended is not None
    return ended.state


def victims(delta_world: DeltaWorld, guest: Guest) -> int:
    record = delta_world.world.catalog.find(delta_world.image_id)
    assert record is not None
    found = make_services(delta_world.world).maps.newest(guest.row, record)
    return len(find_victims(found.merged()))


def test_a_compaction_keeps_the_contents_and_frees_objects(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    write_scattered(guest, 12)
    etag, before = guest.row.etag, victims(delta_world, guest)
    assert before > 3
    assert compact(delta_world) is JobState.DONE
    row = guest.row
    assert (row.etag, row.checkpoint_generation) == (etag, 12)
    assert victims(delta_world, guest) == 0
    assert read(delta_world, guest.delta_id) == guest.disk
    assert sweep_later(delta_world.world.catalog, delta_world.world.store).deleted_delta_objects >= before
    assert read(delta_world, guest.delta_id) == guest.disk
    write_scattered(guest, 3, seed=2)
    assert read(delta_world, guest.delta_id) == guest.disk


def test_changes_since_a_generation_are_never_lost(delta_world: DeltaWorld) -> None:
    guest = delta_world.guest()
    write_scattered(guest, 6)
    old = bytes(guest.disk)
    since = guest.generation
    write_scattered(guest, 6, seed=3)
    compact(delta_world)
    record = delta_world.world.catalog.find(delta_world.image_id)
    assert record is not None
    found = make_services(delta_world.world).maps.newest(guest.row, record)
    told = {block for place in found.changes(0, 301, since) for block in range(place.block, place.stop)}
    changed = {n for n in range(301) if old[n * BLOCK :][:BLOCK] != guest.disk[n * BLOCK :][:BLOCK]}
    assert changed <= told


def test_what_snapshots_and_forks_need_is_left_alone(delta_world: DeltaWorld) -> None:
    guest, services = delta_world.guest(), delta_world.services
    write_scattered(guest, 6)
    kept = services.history.snapshot(guest.delta_id, OWNER, "kept", None)
    old = bytes(guest.disk)
    services.deltas.fork(guest.delta_id, OWNER, generation=None, name="fork")
    write_scattered(guest, 6, seed=4)
    stored = guest.row.stored_bytes
    compact(delta_world)
    assert read(delta_world, guest.delta_id) == guest.disk
    assert read(delta_world, guest.delta_id, kept.generation) == old
    sweep_later(delta_world.world.catalog, delta_world.world.store)
    assert read(delta_world, guest.delta_id, kept.generation) == old
    assert guest.row.stored_bytes < stored * 1.2


@pytest.mark.parametrize("event", ["commit", "checkpoint", "reset", "delete"])
def test_what_comes_in_between_wins(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    guest, services = delta_world.guest(), delta_world.services
    write_scattered(guest, 12)
    events: list[str] = []
    write = Compaction._write

    def write_then_change(*arguments: object) -> object:
        written = write(*arguments)  # type: ignore[arg-type]
        if not events:
            events.append(event)
            change(event)
        return written

    def change(event: str) -> None:
        record = delta_world.world.catalog.find(delta_world.image_id)
        assert record is not None
        if event == "commit":
            guest.write(5, b"n" * BLOCK)
        elif event == "checkpoint":
            guest.write(5, b"n" * BLOCK)
            services.commits._checkpoints.renew(guest.row, record)
        elif event == "reset":
            services.history.reset(guest.delta_id, OWNER, 0)
            guest.disk[:] = delta_world.base
        else:
            services.deltas.delete(guest.delta_id, OWNER, generation=None)

    monkeypatch.setattr(Compaction, "_write", write_then_change)
    assert compact(delta_world) is JobState.DONE
    assert events
    if event != "delete":
        assert read(delta_world, guest.delta_id) == guest.disk
        assert victims(delta_world, guest) == 0


def test_a_delta_that_always_changes_is_left_to_a_later_job(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = delta_world.guest()
    write_scattered(guest, 12)
    tries: list[int] = []
    write = Compaction._write

    def write_beside_another(*arguments: object) -> object:
        written = write(*arguments)  # type: ignore[arg-type]
        record = delta_world.world.catalog.find(delta_world.image_id)
        assert record is not None
        delta_world.services.commits._checkpoints.renew(guest.row, record)
        tries.append(1)
        return written

    monkeypatch.setattr(Compaction, "_write", write_beside_another)
    assert compact(delta_world) is JobState.DONE
    assert len(tries) == ATTEMPTS
    assert read(delta_world, guest.delta_id) == guest.disk


def test_a_damaged_segment_fails_the_job_and_nothing_is_made_of_it(
    delta_world: DeltaWorld, damaged_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_gateway.services.jobs.worker.MAX_ATTEMPTS", 1)
    damaged, whole = delta_world.guest(), delta_world.guest()
    write_scattered(damaged, 12)
    write_scattered(whole, 12)
    record = delta_world.world.catalog.find(delta_world.image_id)
    assert record is not None
    found = make_services(delta_world.world).maps.newest(damaged.row, record)
    victim = find_victims(found.merged())[0].segment
    key = record.location.delta_key(damaged.delta_id, victim.name)
    world = delta_world.world
    body = bytearray(world.store.open(key).body.read_all())
    body[-1] ^= 1
    open_object = world.store.open

    def open_damaged(wanted: str, **options: object) -> object:
        """Moto's ETag would tell of it; a disk that lies does not."""
        opened = open_object(wanted, **options)  # type: ignore[arg-type]
        if wanted == key and not options.get("byte_range"):
            opened.body.close()
            opened = replace(opened, body=Whole(bytes(body)))  # type: ignore[arg-type]
        return opened

    monkeypatch.setattr(world.store, "open", open_damaged)
    objects = len(list(world.store.list_objects(record.location.deltas_prefix + damaged.delta_id)))
    assert compact(delta_world) is JobState.FAILED
    assert len(list(world.store.list_objects(record.location.deltas_prefix + damaged.delta_id))) == objects
    assert damaged.row.checkpoint is None
    assert victims(delta_world, whole) == 0


class Whole:
    """The body of an object, in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_all(self) -> bytes:
        return self._data


def test_a_checkpoint_queues_a_compaction_that_is_worthwhile(delta_world: DeltaWorld) -> None:
    guest, jobs = delta_world.guest(), delta_world.world.catalog.jobs
    write_scattered(guest, 64)
    assert jobs.list(delta_world.image_id, limit=9) == []
    write_scattered(guest, 65, seed=9)
    (job,) = jobs.list(delta_world.image_id, limit=9)
    assert (job.kind, job.state) == (JobKind.COMPACT, JobState.QUEUED)
    assert compact(delta_world) is JobState.DONE
    assert read(delta_world, guest.delta_id) == guest.disk
