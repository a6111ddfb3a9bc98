"""kill -9 of gateways that commit, at every point where it matters, over a real store."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Iterator

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import DiskFacts, Quota
from image_gateway.local.seaweed import LocalStore
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.leases import LeaseRequest
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore
from tests.support.delta_ground import POINTS, Ground
from tests.support.delta_model import Model, request_of
from tests.support.delta_victim import Died, Victim, fork_server, running_victim
from tests.support.delta_writing import OWNER
from tests.support.depth import depths
from tests.support.records import NOW, make_record

BLOCK, BLOCKS = 512, 24
BASE = bytes(range(256)) * 2 * BLOCKS
ANY_MOMENT = "any moment"


@pytest.fixture
def ground(own_database: str, store: LocalStore) -> Iterator[Ground]:
    """The catalog and the real store, and an image in the catalog whose bytes the test knows."""
    engine = open_engine(own_database)
    catalog, record = Catalog(engine), make_record(str(uuid.uuid4()))
    catalog.add(record, Quota())
    catalog.complete(record.image_id, "u1", DiskFacts(len(BASE), '"e"', NOW, None), NOW)
    found = catalog.find(record.image_id)
    assert found is not None
    yield Ground(engine, catalog, ObjectStore(StoreClients(store.address)), found, BASE, time.time)
    engine.dispose()


class Guest:
    """A writer that knows what it was told, and goes on after each death as a guest would."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.chance = ground, random.Random(7)
        self.services = ground.services()
        delta = self.services.deltas.create(ground.image.image_id, OWNER, block_size=BLOCK, name="disk")
        self.model = Model(delta.delta_id, BLOCK, is_fork=False, history={0: BASE})
        self.unanswered: tuple[CommitRequest, list[Extent]] | None = None
        self.open_session()

    def open_session(self) -> None:
        """Become the writer, at the generation that is there."""
        session = self.services.deltas.open_session(self.model.delta_id, OWNER, LeaseRequest(WRITING))
        self.model.epoch += 1
        self.writer = Caller(lease=session.issued.lease)
        assert session.delta.generation == self.model.generation

    def next(self) -> tuple[CommitRequest, list[Extent]]:
        """Return a commit of two extents of which half would be seen."""
        first, second = sorted(self.chance.sample(range(0, BLOCKS, 2), 2))
        mark = os.urandom(2 * BLOCK)
        extents = [
            Extent(first, 2, mark),
            Extent(second, 1, None if self.chance.random() < 0.3 else mark[:BLOCK]),
        ]
        return request_of(BLOCK, self.model.generation, extents, str(uuid.uuid4())), extents

    def write_until_killed(self, victim: Victim, point: str) -> None:
        """Commit until the gateway dies; what was not answered is sent anew first."""
        while True:
            self.unanswered = self.unanswered or self.next()
            request, extents = self.unanswered
            moment = self.chance.random() / 50 if point == ANY_MOMENT else None
            made = victim.commit(self.model.delta_id, self.writer, request, moment)
            self.model.committed(request, extents, made)
            self.unanswered = None

    def was_stored(self) -> bool:
        """Note what became of the commit that was not answered; return whether it was stored."""
        assert self.unanswered is not None, "it died without a commit"
        request, extents = self.unanswered
        if self.model.row(self.ground).generation == self.model.generation:
            return False
        made = self.ground.catalog.deltas.find_commit(self.model.delta_id, request.idempotency_key)
        assert made is not None, "a generation that nobody asked for"
        self.model.committed(request, extents, made)
        return True


@pytest.mark.parametrize("kills", depths(6, int(os.environ.get("DELTA_KILLS", "15"))))
def test_kills_lose_no_commit_and_leave_no_half_one(
    ground: Ground, store: LocalStore, own_database: str, kills: int
) -> None:
    context, guest, unanswered_and_stored = fork_server(), Guest(ground), 0
    for number in range(kills):
        point = (*POINTS, ANY_MOMENT)[number % 4]
        after = guest.chance.randrange(3)
        with (
            running_victim(context, own_database, store.address, point, after) as victim,
            pytest.raises(Died),
        ):
            guest.write_until_killed(victim, point)
        stored = guest.was_stored()
        assert not stored or point in ("before the answer", ANY_MOMENT)
        unanswered_and_stored += stored
        guest.model.check_newest(ground, guest.services)
        if guest.chance.random() < 0.5:
            # The guest was reloaded: it does not ask again, and goes on with what is there.
            guest.unanswered = None
            guest.open_session()
        if number % 20 == 0:
            guest.model.check_all(ground, ground.services())
    guest.model.check_all(ground, ground.services())
    # Not every fourth: some die when the checkpoint before their commit was recorded.
    assert unanswered_and_stored > kills // 8
