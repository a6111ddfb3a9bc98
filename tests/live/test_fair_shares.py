"""Real workers under clients that ask for much at once: everybody is served, nobody is starved."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from tests.live.conftest import StartGateway

MIB = 1024 * 1024
SIZE = 24 * MIB
DATA = random.Random(12).randbytes(SIZE)
READS = 128
USER = f"user-{uuid.uuid4()}"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def busy(start: StartGateway) -> LocalGateway:
    """As it is installed: the default number of threads."""
    return start(WEB_THREADS="128", RATE_LIMITS="false", ACCESS_CACHE_SECONDS="1", LOG_LEVEL="warning")


def upload(gateway: LocalGateway, disk: Path, user: str = USER) -> str:
    return upload_file(GatewayClient(gateway.url, user), disk, parallel=2, on_bytes=lambda _: None).image_id


def post(gateway: LocalGateway, path: str, body: Any, user: str = USER) -> urllib3.BaseHTTPResponse:
    headers = {"X-User-Id": user}
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        return http.request("POST", f"{gateway.url}/v1{path}", json=body, headers=headers)


def test_one_clients_many_small_reads_at_once_are_all_served(busy: LocalGateway, disk: Path) -> None:
    """A file server refuses none either."""
    image_id = upload(busy, disk)
    start = threading.Barrier(READS)

    def read(number: int) -> str:
        first = number * 4096
        headers = {"X-User-Id": USER, "Range": f"bytes={first}-{first + 4095}"}
        with urllib3.PoolManager(retries=False, timeout=60) as http:
            start.wait(60)
            answer = http.request("GET", f"{busy.url}/v1/images/{image_id}/range", headers=headers)
        if answer.status != 206:
            return f"{answer.status} {answer.data!r}"
        return "right" if answer.data == DATA[first : first + 4096] else "wrong bytes"

    with ThreadPoolExecutor(READS) as pool:
        assert Counter(pool.map(read, range(READS))) == {"right": READS}


@pytest.fixture
def stalled() -> Iterator[ExitStack]:
    with ExitStack() as open_sockets:
        yield open_sockets


def ask_and_stall(gateway: LocalGateway, path: str, sockets: ExitStack) -> None:
    """Ask for a body and take none of it."""
    address = urlsplit(gateway.url)
    sock = sockets.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect((address.hostname or "", address.port or 0))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def test_one_slow_anonymous_reader_leaves_the_others_their_streams(
    busy: LocalGateway, disk: Path, stalled: ExitStack
) -> None:
    image_id = upload(busy, disk)
    GatewayClient(busy.url, USER)
    with urllib3.PoolManager() as http:
        shown = http.request(
            "PATCH",
            f"{busy.url}/v1/images/{image_id}",
            headers={"X-User-Id": USER},
            json={"visibility": "public"},
        )
        assert shown.status == 200
        for _ in range(150):
            ask_and_stall(busy, f"/v1/images/{image_id}/range", stalled)
        outcomes: Counter[int] = Counter()
        for number in range(100):
            headers = {"X-User-Id": f"other-{number % 3}", "Range": "bytes=0-65535"}
            answer = http.request(
                "GET", f"{busy.url}/v1/images/{image_id}/range", headers=headers, retries=False, timeout=20
            )
            outcomes[answer.status] += 1
            assert answer.status != 206 or answer.data == DATA[:65_536]
    assert outcomes == {206: 100}


def test_signing_and_hashing_hold_nobody_up(busy: LocalGateway, tmp_path: Path) -> None:
    """64 callers ask for a thousand URLs each, 64 complete images that are hashed; /healthz is answered."""
    plan = json.loads(post(busy, "/images", {}).data)
    many = {"uploadId": plan["uploadId"], "partNumbers": list(range(1, 1001))}
    hashed = []
    data = bytes(6 * MIB)
    declared = {"sizeBytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    with urllib3.PoolManager(timeout=60) as http:
        for _ in range(8):
            made = json.loads(post(busy, "/images", declared).data)
            for number, start in enumerate(range(0, len(data), 5 * MIB), 1):
                body = {"uploadId": made["uploadId"], "partNumber": number}
                signed = json.loads(post(busy, f"/images/{made['imageId']}/upload-url", body).data)
                assert http.request("PUT", signed["url"], body=data[start : start + 5 * MIB]).status == 200
            hashed.append(made)
    working, answered = threading.Event(), 0
    working.set()

    def sign(number: int) -> int:
        return post(busy, f"/images/{plan['imageId']}/upload-urls", many).status

    def complete(number: int) -> int:
        made = hashed[number % len(hashed)]
        return post(busy, f"/images/{made['imageId']}/complete", {"uploadId": made["uploadId"]}).status

    with ThreadPoolExecutor(128) as pool, urllib3.PoolManager(retries=False, timeout=10) as http:
        jobs = [pool.submit(work, number) for number in range(64) for work in (sign, complete)]
        while not all(job.done() for job in jobs):
            # The client's own limit: who is not answered within ten seconds raises here.
            assert http.request("GET", f"{busy.url}/healthz").status == 200
            answered += 1
    statuses = Counter(job.result() for job in jobs)
    assert set(statuses) <= {200, 503}
    assert answered > 0
    for made in hashed:
        again = post(busy, f"/images/{made['imageId']}/complete", {"uploadId": made["uploadId"]})
        assert (again.status, json.loads(again.data)["size"]) == (200, len(data))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="no cache"),
        pytest.param(True, id="block cache", marks=pytest.mark.thorough),
    ],
)
def forgetful(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGateway]:
    """A gateway that remembers permissions for a second."""
    folder = tmp_path_factory.mktemp("forgetful")
    cache = {"RANGE_CACHE_DIR": str(folder / "blocks")} if request.param else {}
    changes = {"ACCESS_CACHE_SECONDS": "1", "LOG_LEVEL": "warning", **cache}
    log = folder / "gateway.log"
    running = start_gateway({**os.environ, **environment, **changes}, port=find_free_ports(1)[0], log=log)
    yield running
    running.process.kill()


@pytest.mark.parametrize("how", ["lease", "share", "delete"])
def test_what_is_taken_back_ends_a_running_body(forgetful: LocalGateway, disk: Path, how: str) -> None:
    gateway = forgetful
    logged = len(gateway.process.log.read_text())
    image_id = upload(gateway, disk)
    path, headers = f"/v1/images/{image_id}/range", {"X-User-Id": USER}
    if how == "lease":
        lease = json.loads(post(gateway, "/leases", {"imageId": image_id}).data)
        path, headers = urlsplit(lease["url"]).path, {}
    if how == "share":
        assert post(gateway, f"/images/{image_id}/shares", {"user": "bob"}).status == 200
        headers = {"X-User-Id": "bob"}
    undo = {
        "lease": lambda: f"/v1/leases/{lease['leaseId']}",
        "share": lambda: f"/v1/images/{image_id}/shares?user=bob",
        "delete": lambda: f"/v1/images/{image_id}",
    }[how]()
    address = urlsplit(gateway.url)
    with socket.socket() as sock, urllib3.PoolManager() as http:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(30)
        sock.connect((address.hostname or "", address.port or 0))
        lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{name}: {headers[name]}" for name in headers), "", ""]
        sock.sendall("\r\n".join(lines).encode())
        received = len(sock.recv(4096))
        assert http.request("DELETE", gateway.url + undo, headers={"X-User-Id": USER}).status == 200
        # Slow until the gateway's memory has lapsed, so that there is a body left to end; then the kernel's
        # buffers are emptied, and the gateway asks again before it sends more.
        lapsed = time.monotonic() + 2
        while time.monotonic() < lapsed + 60:
            try:
                block = sock.recv(65_536)
            except ConnectionResetError:
                break
            if not block:
                break
            received += len(block)
            if time.monotonic() < lapsed:
                time.sleep(0.03)
    assert 0 < received < SIZE
    assert "AccessEnded" in gateway.process.log.read_text()[logged:] or how == "delete"
