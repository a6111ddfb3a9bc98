"""A PostgreSQL that accepts and falls silent, played by a few bytes of its protocol."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from image_gateway.catalog.database import open_engine, require_current
from image_gateway.catalog.postgres import CONNECT_SECONDS, BoundedConnection
from image_gateway.errors import CatalogUnavailable
from tests.support.black_hole import black_hole


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


GREETING = message(b"R", struct.pack("!i", 0)) + message(b"Z", b"I")


class SilentServer:
    """Lets clients in, or not, notes what they begin with, and answers nothing more."""

    def __init__(self, greeting: bytes) -> None:
        self.startups: list[bytes] = []
        self._greeting = greeting
        self._held: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, query: str = "") -> str:
        return f"postgresql+psycopg://u@127.0.0.1:{self.port}/d?sslmode=disable&gssencmode=disable{query}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for client in self._held:
            client.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.startups.append(client.recv(65_536))
                if not self._greeting:
                    client.close()
                    continue
                self._held.append(client)
                client.sendall(self._greeting)


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer(GREETING)
    yield server
    server.close()


@pytest.fixture
def closing() -> Iterator[SilentServer]:
    """One that hangs up on whoever comes."""
    server = SilentServer(b"")
    yield server
    server.close()


def connect(server: SilentServer) -> BoundedConnection:
    return BoundedConnection.connect(
        host="127.0.0.1", port=server.port, user="u", dbname="d", sslmode="disable", gssencmode="disable"
    )


def test_a_statement_that_is_never_answered_is_given_up_and_its_connection_closed(
    silent: SilentServer,
) -> None:
    connection = connect(silent)
    connection.patience = 0.3
    with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.3 seconds"):
        connection.execute("SELECT 1")
    assert connection.closed


def test_the_pools_own_questions_are_bounded_as_connecting_is(silent: SilentServer) -> None:
    connection = connect(silent)
    assert connection.patience == CONNECT_SECONDS
    connection.close()
    with pytest.raises(CatalogUnavailable):
        require_current(open_engine(silent.url()))


def test_a_server_that_never_greets_is_given_up() -> None:
    with black_hole() as hole, pytest.raises(CatalogUnavailable):
        require_current(open_engine(f"postgresql+psycopg://u@127.0.0.1:{hole.port}/d", timeout=1))


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", b"-c statement_timeout=7000"),
        ("&options=-c%20statement_timeout%3D0", b"-c statement_timeout=7000 -c statement_timeout=0"),
    ],
)
def test_the_server_is_told_the_bound_and_options_of_the_url_win(
    closing: SilentServer, query: str, options: bytes
) -> None:
    with pytest.raises(CatalogUnavailable):
        require_current(open_engine(closing.url(query), timeout=7))
    assert b"\0options\0" + options + b"\0" in closing.startups[0]


def test_a_migration_has_no_bound(closing: SilentServer) -> None:
    with pytest.raises(CatalogUnavailable):
        require_current(open_engine(closing.url()))
    assert b"statement_timeout" not in closing.startups[0]
