"""Clients that take nothing, or do not finish what they began, hold nobody up."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports

SEND_TIMEOUT = 2
# More than the kernel keeps for a client that takes nothing.
DATA = os.urandom(1024) * (12 * 1024)
BOUND = 30


@pytest.fixture(scope="module")
def impatient(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGateway]:
    """A gateway of 2 workers x 8 threads that waits two seconds for a client."""
    changes = {"SEND_TIMEOUT_SECONDS": str(SEND_TIMEOUT)}
    log = tmp_path_factory.mktemp("impatient") / "gateway.log"
    running = start_gateway({**os.environ, **environment, **changes}, port=find_free_ports(1)[0], log=log)
    yield running
    running.process.kill()


@pytest.fixture(scope="module")
def image_path(impatient: LocalGateway, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("image") / "disk.img"
    file.write_bytes(DATA)
    client = GatewayClient(impatient.url, "me")
    return f"/v1/images/{upload_file(client, file, parallel=2, on_bytes=lambda _: None).image_id}"


def connect(gateway: LocalGateway, request: bytes) -> socket.socket:
    """Send the beginning of a request over a connection with a small window."""
    parts = urlsplit(gateway.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.settimeout(BOUND)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(request)
    return connection


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\n\r\n".encode()


def until_closed(connections: list[socket.socket]) -> None:
    """Wait until the gateway has closed all of them; what it sent before is thrown away."""
    deadline = time.monotonic() + BOUND
    waiting = list(connections)
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} connections are still open"
        for connection in select.select(waiting, [], [], 1)[0]:
            try:
                is_open = bool(connection.recv(1_000_000))
            except ConnectionError:
                is_open = False
            if not is_open:
                waiting.remove(connection)
                connection.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_stalled_readers_and_half_sent_requests_leave_the_gateway_free(
    impatient: LocalGateway, image_path: str
) -> None:
    post = "POST /v1/images HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\nContent-Type: application/json\r\n"
    stalled = [connect(impatient, get(f"{image_path}/range")) for _ in range(50)]
    half = [connect(impatient, b"GET /healthz HTTP/1.1\r\nHo") for _ in range(50)]
    half += [connect(impatient, f"{post}Content-Length: 20\r\n\r\n{{".encode()) for _ in range(25)]
    half += [
        connect(impatient, f"{post}Transfer-Encoding: chunked\r\n\r\n5\r\n{{".encode()) for _ in range(25)
    ]
    with urllib3.PoolManager(retries=False, timeout=BOUND, headers={"X-User-Id": "me"}) as http:
        for _ in range(5):
            assert http.request("GET", f"{impatient.url}/healthz").status == 200
            assert http.request("GET", f"{impatient.url}{image_path}/stream-url").status == 200
    until_closed(half)
    until_closed_without_reading(stalled)
    with urllib3.PoolManager(retries=False, timeout=BOUND, headers={"X-User-Id": "me"}) as http:
        answer = http.request("GET", f"{impatient.url}{image_path}/range")
    assert answer.data == DATA
    log = impatient.process.log.read_text()
    assert f"client timeout: request not complete after {SEND_TIMEOUT} s" in log
    assert f"client timeout: client read nothing for {SEND_TIMEOUT} s" in log


def until_closed_without_reading(connections: list[socket.socket]) -> None:
    """Wait until the gateway has reset, or answered and left idle, connections that nobody reads."""
    hung_up = select.poll()
    for connection in connections:
        hung_up.register(connection, select.POLLERR | select.POLLHUP)
    names = {connection.fileno(): connection for connection in connections}
    deadline = time.monotonic() + BOUND
    while names:
        assert time.monotonic() < deadline, f"{len(names)} readers still hold a thread"
        for number, _ in hung_up.poll(500):
            hung_up.unregister(number)
            names.pop(number).close()
        for number in [number for number, waiting in names.items() if is_refused(waiting)]:
            hung_up.unregister(number)
            names.pop(number).close()


def is_refused(connection: socket.socket) -> bool:
    try:
        return b" 503 " in connection.recv(64, socket.MSG_PEEK | socket.MSG_DONTWAIT).splitlines()[0]
    except OSError:
        return False


def test_a_slow_but_live_reader_gets_every_byte(impatient: LocalGateway, image_path: str) -> None:
    connection = connect(impatient, get(f"{image_path}/range"))
    received = bytearray()
    pace = threading.Event()
    slow_until = time.monotonic() + 2.5 * SEND_TIMEOUT
    with connection:
        # Slower than the kernel tells a sender that there is room again.
        while time.monotonic() < slow_until:
            received += connection.recv(16 * 1024)
            pace.wait(0.1)
        assert len(received) < len(DATA) / 4
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        assert b"200 OK" in head
        received = bytearray(body)
        while len(received) < len(DATA):
            block = connection.recv(1_000_000)
            assert block, f"cut after {len(received)} bytes"
            received += block
    assert hashlib.sha256(received).digest() == hashlib.sha256(DATA).digest()


def test_a_request_that_drips_is_let_go(impatient: LocalGateway) -> None:
    connection = connect(impatient, b"GET /healthz HTTP/1.1\r\n")

    def is_closed() -> bool:
        try:
            connection.send(b"x")
            return bool(select.select([connection], [], [], 0.1)[0])
        except ConnectionError:
            return True

    until(is_closed)
    connection.close()


def test_a_request_in_pieces_is_answered(impatient: LocalGateway, tmp_path: Path) -> None:
    request = (
        b"POST /v1/images HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with connect(impatient, request[:30]) as connection:
        connection.sendall(request[30:])
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in (b"2\r\n{", b"}\r\n0", b"\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
            connection.sendall(piece)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 2:
            received += connection.recv(65_536)
    assert b"100 Continue" not in received


def test_a_head_without_end_is_refused(impatient: LocalGateway) -> None:
    with connect(impatient, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 3_000_000) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")
