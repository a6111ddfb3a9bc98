"""A store behind TLS, and one whose address is looked up while nginx runs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from image_gateway.local.seaweed import LocalStore
from tests.live.edge.conftest import DATA, Pair, StartPair
from tests.support.certificates import make_certificate

READ = {"Range": "bytes=1000-1999"}


class TlsStore:
    """Ends TLS for `localhost` before a plain store."""

    def __init__(self, store: LocalStore, folder: Path) -> None:
        address = urlsplit(store.address.endpoint or "")
        self._target = (address.hostname or "", address.port or 0)
        self.plain_url = store.address.endpoint or ""
        self.ca, chain, key = make_certificate(folder, "localhost")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain, key)
        self._context.sni_callback = self._note_name
        self.names: set[str | None] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _note_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.names.add(name)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(self._target) as store,
            self._context.wrap_socket(client, server_side=True) as secure,
        ):
            answers = threading.Thread(target=_pump, args=(store, secure), daemon=True)
            answers.start()
            _pump(secure, store)
            answers.join(20)

    def environment(self, trusted: Path) -> dict[str, str]:
        """Gateway and nginx read by TLS; uploads go past it."""
        return {
            "S3_ENDPOINT": self.url,
            "S3_PUBLIC_ENDPOINT": self.plain_url,
            "EDGE_CA_FILE": str(trusted),
        }


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65_536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def tls_store(store: LocalStore, tmp_path: Path) -> Iterator[TlsStore]:
    running = TlsStore(store, tmp_path)
    yield running
    running.close()


def _cache_statuses(pair: Pair) -> set[str]:
    """What nginx's cache had of the reads; its workers write their lines when they like."""
    lines = (pair.folder / "access.log").read_text().splitlines()
    return {line["cache"] for line in map(json.loads, lines) if line["route"].endswith("/range")}


def _read_twice(pair: Pair, owner: str) -> set[str]:
    """Read through nginx; what its cache had."""
    path = f"/v1/images/{pair.make_image(owner)}/range"
    for _ in range(2):
        answer = pair.ask("GET", path, {"X-User-Id": owner, **READ})
        assert (answer.status, answer.body) == (206, DATA[1000:2000])
    pair.edge.stop()
    return _cache_statuses(pair)


@contextmanager
def _trusting(ca: Path) -> Iterator[None]:
    before = os.environ.get("AWS_CA_BUNDLE")
    os.environ["AWS_CA_BUNDLE"] = str(ca)
    try:
        yield
    finally:
        os.environ.pop("AWS_CA_BUNDLE")
        if before is not None:
            os.environ["AWS_CA_BUNDLE"] = before


def test_nginx_reads_from_a_store_behind_tls(start_pair: StartPair, tls_store: TlsStore, owner: str) -> None:
    with _trusting(tls_store.ca):
        pair = start_pair(**tls_store.environment(tls_store.ca))
        assert _read_twice(pair, owner) == {"MISS", "HIT"}
    assert tls_store.names == {"localhost"}


def test_nginx_trusts_no_other_store(
    start_pair: StartPair, tls_store: TlsStore, owner: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other, _, _ = make_certificate(tmp_path / "other", "localhost")
    with _trusting(tls_store.ca):
        pair = start_pair(**tls_store.environment(other))
        # The gateway, which does trust it, answers instead.
        assert _read_twice(pair, owner) == {"-"}


class NameServer:
    """Answers every question for an IPv4 address with 127.0.0.1."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.asked: set[bytes] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                question, client = self._socket.recvfrom(512)
                end = question.index(b"\0", 12) + 5
                self.asked.add(question[12 : end - 5])
                head = question[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, 1, 0, 0)
                answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + bytes([127, 0, 0, 1])
                self._socket.sendto(head + question[12:end] + answer, client)


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


def test_the_stores_address_is_looked_up_while_nginx_runs(
    start_pair: StartPair, store: LocalStore, name_server: NameServer, owner: str
) -> None:
    port = urlsplit(store.address.endpoint or "").port
    pair = start_pair(S3_ENDPOINT=f"http://localhost:{port}", EDGE_RESOLVER=f"127.0.0.1:{name_server.port}")
    assert _read_twice(pair, owner) == {"MISS", "HIT"}
    assert name_server.asked == {b"\x09localhost"}
