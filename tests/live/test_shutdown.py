"""Stopping and reloading: what is running ends well."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from tests.live.conftest import StartGateway

pytestmark = pytest.mark.thorough
DATA = os.urandom(1024) * (12 * 1024)
BOUND = 30


@pytest.fixture
def image_path(gateway: LocalGateway, tmp_path: Path) -> str:
    file = tmp_path / "disk.img"
    file.write_bytes(DATA)
    client = GatewayClient(gateway.url, "me")
    return f"/v1/images/{upload_file(client, file, parallel=2, on_bytes=lambda _: None).image_id}"


def begin_reading(gateway: LocalGateway, path: str) -> tuple[socket.socket, bytes]:
    """Ask for a body and take its head and first bytes only."""
    parts = urlsplit(gateway.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.settimeout(BOUND)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\n\r\n".encode())
    return connection, connection.recv(8192).partition(b"\r\n\r\n")[2]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_sigterm_says_unready_then_refuses_and_lets_bodies_end(start: StartGateway, image_path: str) -> None:
    gateway = start(GRACEFUL_TIMEOUT_SECONDS="20")
    connection, begun = begin_reading(gateway, f"{image_path}/range")
    os.kill(gateway.process.pid, signal.SIGTERM)
    until(lambda: readiness(gateway) != "ready")
    assert readiness(gateway) == "SHUTTING_DOWN"
    until(lambda: readiness(gateway) == "refused")
    received = bytearray(begun)
    with connection:
        while len(received) < len(DATA):
            block = connection.recv(1_000_000)
            assert block, f"cut after {len(received)} bytes"
            received += block
    assert received == DATA
    # Nothing is left to wait for: well before the graceful time is over.
    assert gateway.process.wait(15) == 0


def readiness(gateway: LocalGateway) -> str:
    with urllib3.PoolManager(retries=False, timeout=5) as http:
        try:
            answer = http.request("GET", f"{gateway.url}/readyz")
        except HTTPError:
            return "refused"
    return "ready" if answer.status == 200 else str(json.loads(answer.data)["error"]["code"])


def test_connections_are_refused_while_a_body_ends(start: StartGateway, image_path: str) -> None:
    gateway = start(GRACEFUL_TIMEOUT_SECONDS="20")
    connection, _ = begin_reading(gateway, f"{image_path}/range")
    with connection:
        os.kill(gateway.process.pid, signal.SIGTERM)
        until(lambda: is_refused(gateway))
        assert gateway.process.is_alive()
        assert connection.recv(1000)


def is_refused(gateway: LocalGateway) -> bool:
    parts = urlsplit(gateway.url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_silent_connections_do_not_delay_the_end(start: StartGateway) -> None:
    gateway = start(GRACEFUL_TIMEOUT_SECONDS="60")
    parts = urlsplit(gateway.url)
    silent = [socket.create_connection((parts.hostname, parts.port)) for _ in range(5)]
    silent[0].sendall(b"GET /healthz HT")
    os.kill(gateway.process.pid, signal.SIGTERM)
    assert gateway.process.wait(30) == 0
    for connection in silent:
        connection.close()


def test_a_reload_drops_no_request(start: StartGateway, image_path: str) -> None:
    gateway = start()
    stop = threading.Event()
    answers: list[int] = []
    problems: list[str] = []
    hammers = [
        threading.Thread(target=hammer, args=(gateway, path, keep, stop, answers, problems))
        for path, keep in [("/healthz", True), ("/healthz", False), (f"{image_path}/range", True)]
    ]
    for thread in hammers:
        thread.start()
    try:
        for generation in (2, 3):
            answered = len(answers)
            os.kill(gateway.process.pid, signal.SIGHUP)
            until(partial(has_logged, gateway, "Booting worker", 2 * generation))
            until(partial(has_logged, gateway, "Worker exiting", 2 * generation - 2))
            until(partial(has_grown, answers, answered + 20))
    finally:
        stop.set()
        for thread in hammers:
            thread.join(BOUND)
    assert problems == []
    assert set(answers) == {200}


def has_logged(gateway: LocalGateway, event: str, times: int) -> bool:
    return gateway.process.log.read_text().count(event) >= times


def has_grown(answers: list[int], beyond: int) -> bool:
    return len(answers) > beyond


def hammer(
    gateway: LocalGateway,
    path: str,
    keep: bool,
    stop: threading.Event,
    answers: list[int],
    problems: list[str],
) -> None:
    """Ask without pause, and without trying again; /healthz says `ok`, the image is read in pieces."""
    headers = {"X-User-Id": "me", "Range": "bytes=100-1100000"}
    if not keep:
        headers["Connection"] = "close"
    with urllib3.PoolManager(retries=False, timeout=BOUND) as http:
        while not stop.is_set():
            try:
                answer = http.request("GET", f"{gateway.url}{path}", headers=headers)
            except HTTPError as error:
                problems.append(repr(error))
                continue
            if answer.status == 206 and answer.data != DATA[100:1100001]:
                problems.append(f"{len(answer.data)} wrong bytes")
            answers.append(200 if answer.status == 206 else answer.status)
