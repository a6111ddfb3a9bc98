"""A real PostgreSQL that stops answering: a network that swallows packets, and a server that is stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import CatalogUnavailable
from tests.support.background import in_background
from tests.support.black_hole import BlackHole, black_hole

STATEMENT_SECONDS = 2
# Of the test, far above the bounds: without them a thread waits for minutes, or for ever.
PATIENCE = 40


@pytest.fixture
def hole(database_url: str) -> Iterator[BlackHole]:
    url = make_url(database_url)
    assert url.host is not None
    assert url.port is not None
    with black_hole((url.host, url.port)) as hole:
        yield hole


@contextmanager
def bounded_engine(database_url: str, port: int | None = None) -> Iterator[Engine]:
    url = make_url(database_url)
    url = url.set(port=port or url.port)
    engine = open_engine(url.render_as_string(hide_password=False), timeout=STATEMENT_SECONDS)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def observer(database_url: str) -> Iterator[Connection]:
    engine = open_engine(database_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def ask(catalog: Catalog) -> str:
    try:
        return str(catalog.find("unknown"))
    except CatalogUnavailable as error:
        return error.code


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.02)


def waiting_backend(observer: Connection) -> int | None:
    found = observer.execute(
        text(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    ).scalar()
    observer.commit()
    return found


@contextmanager
def locked_images(database_url: str) -> Iterator[None]:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


def test_a_statement_that_takes_too_long_is_ended_by_the_server(database_url: str) -> None:
    with bounded_engine(database_url) as engine:
        catalog = Catalog(engine)
        with locked_images(database_url):
            assert ask(catalog) == "CATALOG_UNAVAILABLE"
        assert ask(catalog) == "None"
        # The connection was kept: nothing was wrong with it.
        assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]


def test_a_network_that_swallows_packets_in_mid_statement(
    database_url: str, hole: BlackHole, observer: Connection
) -> None:
    with bounded_engine(database_url, hole.port) as engine, locked_images(database_url):
        asking = in_background(ask, Catalog(engine))
        until(lambda: waiting_backend(observer) is not None)
        hole.swallow()
        assert asking.result(PATIENCE) == "CATALOG_UNAVAILABLE"


def test_a_network_that_swallows_packets_between_requests(database_url: str, hole: BlackHole) -> None:
    with bounded_engine(database_url, hole.port) as engine:
        catalog = Catalog(engine)
        assert ask(catalog) == "None"
        hole.swallow()
        assert in_background(ask, catalog).result(PATIENCE) == "CATALOG_UNAVAILABLE"
        hole.give_back()
        assert ask(catalog) == "None"


def test_a_server_that_is_stopped_in_mid_statement(database_url: str, observer: Connection) -> None:
    with bounded_engine(database_url) as engine, locked_images(database_url):
        asking = in_background(ask, Catalog(engine))
        until(lambda: waiting_backend(observer) is not None)
        backend = waiting_backend(observer)
        assert backend is not None
        os.kill(backend, signal.SIGSTOP)
        try:
            assert asking.result(PATIENCE) == "CATALOG_UNAVAILABLE"
        finally:
            os.kill(backend, signal.SIGCONT)


def test_many_requests_at_once_are_all_answered(database_url: str, hole: BlackHole) -> None:
    with bounded_engine(database_url, hole.port) as engine:
        catalog = Catalog(engine)
        assert ask(catalog) == "None"
        hole.swallow()
        asking = [in_background(ask, catalog) for _ in range(32)]
        assert {answer.result(PATIENCE) for answer in asking} == {"CATALOG_UNAVAILABLE"}


def test_without_a_bound_a_migration_may_take_longer(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "0"
        # Longer than the bound on questions of the pool itself.
        connection.execute(text("SELECT pg_sleep(5.5)"))
    engine.dispose()
