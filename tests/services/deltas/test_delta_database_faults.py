"""A database that fails at any statement of a commit, or after it: the same key gives the one answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from image_gateway.errors import CatalogUnavailable, NotFound
from image_gateway.protocol.deltas.segment import Extent
from tests.support.delta_ground import DatedStore, Ground, dying, make_ground
from tests.support.delta_model import request_of
from tests.support.delta_writing import OWNER, Guest, read_disk

BLOCK = 512
BASE = bytes(range(256)) * 32


@pytest.fixture
def ground(database_url: str) -> Iterator[Ground]:
    made = make_ground(database_url, DatedStore(time.time), BASE, time.time)
    yield made
    made.engine.dispose()


@contextmanager
def failing_at(engine: Engine, number: int) -> Iterator[list[str]]:
    """Within, the database fails at the statement with this number; yields what it failed at."""
    left, failed = count(number, -1), list[str]()

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if next(left) == 0:
            failed.append(statement)
            raise OperationalError(statement, None, RuntimeError("the server went away"))

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield failed
    finally:
        event.remove(engine, "before_cursor_execute", before)


@contextmanager
def failing_after_commit(engine: Engine) -> Iterator[None]:
    """Within, transactions are committed, but whoever commits is told of a failure."""
    dialect, plain = engine.dialect, engine.dialect.do_commit

    def do_commit(connection: Any) -> None:
        plain(connection)
        raise OperationalError("COMMIT", None, RuntimeError("the server went away"))

    dialect.do_commit = do_commit  # type: ignore[method-assign]
    try:
        yield
    finally:
        del dialect.do_commit


def make_guest(ground: Ground) -> Guest:
    services = ground.services()
    delta = services.deltas.create(ground.image.image_id, OWNER, block_size=BLOCK, name="disk")
    guest = Guest(ground, services, delta.delta_id, BASE)
    guest.write(0, b"0" * BLOCK)
    return guest


@pytest.mark.parametrize("number", range(8))
def test_a_failure_at_any_statement_stores_nothing(ground: Ground, number: int) -> None:
    guest = make_guest(ground)
    before, used = guest.row, ground.catalog.usage("alice")
    request = request_of(BLOCK, 1, [Extent(1, 1, b"a" * BLOCK)], "key")
    with failing_at(ground.engine, number) as failed:
        try:
            made = guest.send(request)
        except CatalogUnavailable:
            made = None
    assert (made is None) == bool(failed)
    if made is None:
        assert (guest.row, ground.catalog.usage("alice")) == (before, used)
        assert read_disk(ground, ground.services(), guest.delta_id, BASE) == guest.disk
    assert guest.send(request).generation == 2
    assert guest.send(request).generation == 2
    assert guest.row.stored_bytes == before.stored_bytes + len(request.body)


def test_a_commit_whose_outcome_is_unknown_is_found_by_its_key(ground: Ground) -> None:
    guest = make_guest(ground)
    request = request_of(BLOCK, 1, [Extent(1, 1, b"a" * BLOCK)], "key")
    with failing_after_commit(ground.engine), pytest.raises(CatalogUnavailable):
        guest.send(request)
    assert guest.row.generation == 2
    # The segment must not have been deleted: it counts.
    expected = guest.disk[:BLOCK] + b"a" * BLOCK + guest.disk[2 * BLOCK :]
    assert read_disk(ground, ground.services(), guest.delta_id, BASE) == expected
    stored = guest.row.stored_bytes
    assert guest.send(request).generation == 2
    assert (guest.row.generation, guest.row.stored_bytes) == (2, stored)
    guest.write(2, b"b" * BLOCK)
    assert guest.row.generation == 3


def test_a_delta_that_is_deleted_while_a_commit_runs_is_gone(ground: Ground) -> None:
    guest = make_guest(ground)
    request = request_of(BLOCK, 1, [Extent(1, 1, b"a" * BLOCK)], "key")
    before = ground.objects(guest.delta_id)

    def delete() -> None:
        ground.services().deltas.delete(guest.delta_id, OWNER, generation=None)

    with dying(ground.catalog, ground.store, "before the row", delete), pytest.raises(NotFound):
        guest.send(request)
    assert ground.objects(guest.delta_id) == before
