"""Probes of a gateway whose store falls silent."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import urllib3

from image_gateway.local.seaweed import LocalStore
from tests.live.conftest import StartGateway
from tests.support.black_hole import black_hole

PROBES = 80
# The store's own bound is a minute for each of three attempts.
PATIENCE = 20
PROBE = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def read_all(connection: socket.socket) -> tuple[int, dict[str, dict[str, str]]]:
    received = bytearray()
    while block := connection.recv(65_536):
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_a_silent_store_makes_the_gateway_unready_and_holds_nothing_else_up(
    start: StartGateway, store: LocalStore
) -> None:
    with black_hole(address_of(store.address.endpoint or "")) as hole, ExitStack() as stack:
        gateway = start(S3_ENDPOINT=f"http://127.0.0.1:{hole.port}", WEB_WORKERS="2", WEB_THREADS="4")
        hole.swallow()
        # Until every worker has forgotten that it was ready.
        gateway.process.wait_until(lambda: probe_status(gateway.url) == 503, seconds=30)
        probes = [
            stack.enter_context(socket.create_connection(address_of(gateway.url), timeout=PATIENCE))
            for _ in range(PROBES)
        ]
        for connection in probes:
            connection.sendall(PROBE)
        alive = urllib3.request("GET", f"{gateway.url}/healthz", timeout=PATIENCE, retries=False)
        answers = [read_all(connection) for connection in probes]
        assert alive.status == 200
        refused = [(status, body["error"]["code"]) for status, body in answers if status != 200]
        assert set(refused) == {(503, "S3_UNAVAILABLE")}
        # One check in each worker, and each check asks by at most one connection at a time.
        assert hole.swallowed <= 2
        hole.give_back()
        gateway.process.wait_until(lambda: probe_status(gateway.url) == 200, seconds=30)


def probe_status(url: str) -> int:
    answer: int = urllib3.request("GET", f"{url}/readyz", timeout=PATIENCE, retries=False).status
    return answer
