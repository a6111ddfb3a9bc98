"""A body of a delta is that of its generation, whatever happens to the delta until its end."""

from __future__ import annotations

import random
import time

import pytest

from image_gateway.domain.clock import now_of
from image_gateway.domain.jobs import JobKind, JobState, new_job
from image_gateway.protocol.deltas import compaction_plan
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.protocol.preconditions import Conditions
from image_gateway.services.deltas import commits
from image_gateway.services.deltas.reading import DeltaReads
from image_gateway.services.jobs.compacting import Compacting
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.reading import overlay
from image_gateway.services.reading.reader import Reader
from image_gateway.services.reading.representations import ReadRequest
from tests.support.delta_equation import sweep_later
from tests.support.delta_world import DeltaWorld
from tests.support.delta_writing import OWNER, Guest, make_request

# The bytes come from the store.
pytestmark = pytest.mark.any_database

BLOCK = 512
BLOCKS = 300


def write_scattered(guest: Guest, chance: random.Random) -> None:
    """Commit random blocks as extents of their own, some of zeros."""
    extents = []
    for block in sorted(chance.sample(range(BLOCKS), 40)):
        data = chance.randbytes(BLOCK) if chance.random() < 0.8 else None
        extents.append(Extent(block, 1, data))
        guest.disk[block * BLOCK : (block + 1) * BLOCK] = data or bytes(BLOCK)
    guest.send(make_request(BLOCK, guest.generation, extents))


def compact(delta_world: DeltaWorld) -> None:
    """Run a compaction of the image to its end."""
    world = delta_world.world
    job = world.catalog.jobs.add(new_job(delta_world.image_id, JobKind.COMPACT, now_of(time.time)))
    handlers = {JobKind.COMPACT: Compacting(world.catalog, world.store, time.time).run}
    Worker(world.catalog.jobs, handlers).run_one()
    ended = world.catalog.jobs.find(job.job_id)
    assert ended is not None
    assert ended.state is JobState.DONE


def sweep(delta_world: DeltaWorld) -> None:
    sweep_later(delta_world.world.catalog, delta_world.world.store, time.time)


@pytest.mark.parametrize("seed", range(1))
def test_a_slow_reader_gets_its_generation(
    delta_world: DeltaWorld, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Commits, checkpoints, a compaction and a sweep happen before each of its windows."""
    monkeypatch.setattr(commits, "COMMITS_PER_CHECKPOINT", 3)
    monkeypatch.setattr(compaction_plan, "MIN_FREED", BLOCK)
    for name, value in (("SMALL_BYTES", 3 * BLOCK), ("WINDOW_BYTES", 40 * BLOCK), ("MAX_GAP_BYTES", BLOCK)):
        monkeypatch.setattr(overlay, name, value)
    chance, guest, services = random.Random(seed), delta_world.guest(), delta_world.services
    for _ in range(8):
        write_scattered(guest, chance)
    expected, checkpoints = bytes(guest.disk), {guest.row.checkpoint}
    target = DeltaReads(services.access, services.maps).find(guest.delta_id, OWNER, None)[1]
    body = Reader(delta_world.world.store).read(target, ReadRequest(None, Conditions())).body
    assert body is not None
    received = bytearray()
    for data in body:
        received.extend(data)
        write_scattered(guest, chance)
        compact(delta_world)
        sweep(delta_world)
        checkpoints.add(guest.row.checkpoint)
    body.close()
    assert received == expected != guest.disk
    assert len(checkpoints) > 3
