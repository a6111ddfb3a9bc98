"""Two writers of one delta through two gateways: one lineage, and whoever lost was told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.errors import Fenced
from image_gateway.protocol.deltas.segment import Extent
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.delta_services import DeltaServices
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.leases import LeaseRequest
from tests.support.delta_ground import DatedStore, make_gateway, make_ground
from tests.support.delta_model import request_of, written
from tests.support.delta_writing import OWNER, read_disk
from tests.support.depth import depths

BLOCK, BLOCKS = 512, 16
BASE = bytes(BLOCK * BLOCKS)


@dataclass
class Writer:
    """A writer that takes the delta over now and then, and notes what it was told of each commit."""

    name: str
    delta_id: str
    services: DeltaServices
    is_over: Callable[[], bool]
    acknowledged: dict[int, tuple[CommitRequest, list[Extent]]] = field(default_factory=dict)
    refused: list[CommitRequest] = field(default_factory=list)

    def run(self) -> None:
        """Write until enough commits are there."""
        chance = random.Random(self.name)
        session, generation, number = None, 0, 0
        while not self.is_over():
            if session is None or chance.random() < 0.05:
                opened = self.services.deltas.open_session(self.delta_id, OWNER, LeaseRequest(WRITING))
                session, generation = Caller(lease=opened.issued.lease), opened.delta.generation
            number += 1
            mark = f"{self.name} {number} ".encode().ljust(BLOCK, b".")
            extents = [Extent(chance.randrange(BLOCKS), 1, mark if chance.random() < 0.9 else None)]
            request = request_of(BLOCK, generation, extents, f"{self.name} {number}")
            try:
                made = self.services.commits.commit(self.delta_id, session, request)
            except Fenced:
                # Nothing else may be the answer: nobody writes with this session but this writer.
                self.refused.append(request)
                session = None
                # Until the other has written something, or this one would only be fenced.
                time.sleep(chance.random() / 200)
                continue
            assert made.generation == generation + 1
            generation = made.generation
            self.acknowledged[generation] = request, extents


@pytest.mark.parametrize("number", depths(200, 1000))
def test_two_writers_leave_one_lineage(database_url: str, number: int) -> None:
    store = DatedStore(time.time)
    ground = make_ground(database_url, store, BASE, time.time)
    delta = ground.services().deltas.create(ground.image.image_id, OWNER, block_size=BLOCK, name="disk")
    engines = [open_engine(database_url) for _ in range(2)]
    stopped = threading.Event()
    writers = [
        Writer(name, delta.delta_id, make_gateway(Catalog(engine), store, time.time), stopped.is_set)
        for name, engine in zip(("one", "other"), engines, strict=True)
    ]

    def is_over() -> bool:
        return stopped.is_set() or sum(len(writer.acknowledged) for writer in writers) >= number

    for writer in writers:
        writer.is_over = is_over
    with ThreadPoolExecutor(2) as threads:
        for running in [threads.submit(writer.run) for writer in writers]:
            running.add_done_callback(lambda _: stopped.set())
    running.result()
    commits = ground.catalog.deltas.find_commits(delta.delta_id, after=0, upto=10**9)
    acknowledged = {**writers[0].acknowledged, **writers[1].acknowledged}
    assert [item.generation for item in commits] == sorted(acknowledged) == list(range(1, len(commits) + 1))
    assert len(acknowledged) == sum(len(writer.acknowledged) for writer in writers) >= number
    disk = BASE
    for item in commits:
        request, extents = acknowledged[item.generation]
        assert item.idempotency_key == request.idempotency_key
        disk = written(disk, BLOCK, extents)
    assert read_disk(ground, ground.services(), delta.delta_id, BASE) == disk
    epochs = [item.epoch for item in commits]
    assert epochs == sorted(epochs)
    # Both had their turn, and lost it.
    for writer in writers:
        assert writer.acknowledged
        assert writer.refused
    for engine in (*engines, ground.engine):
        engine.dispose()
