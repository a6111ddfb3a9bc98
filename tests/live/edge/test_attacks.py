"""Clients that hold connections, drip or do not read: nginx answers everyone else, and lets them go."""

from __future__ import annotations

import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from image_gateway.components import store_address
from image_gateway.local.edge import edge_environment, start_edge
from image_gateway.local.ports import find_free_ports
from image_gateway.settings import load_settings
from tests.live.edge.attackers import LET_GO, connections, get, is_open, until_let_go
from tests.live.edge.conftest import Answer, Pair, running_pair
from tests.support.honest_client import honest_client

pytestmark = pytest.mark.thorough
MIB = 1024 * 1024
BLOCK = random.Random(11).randbytes(MIB)
DATA = BLOCK * 48
TIMEOUT = 2
HONEST_SECONDS = 2
READ = {"Range": "bytes=131072-196607"}
POST = "POST /v1/images HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\nContent-Type: application/json\r\n"
HALF_BODIES = {
    "Content-Length cut": "Content-Length: 20\r\n\r\n{",
    "chunk announced and not sent": "Transfer-Encoding: chunked\r\n\r\n5\r\n",
    "chunk size line cut": "Transfer-Encoding: chunked\r\n\r\n5",
    "Expect without a body": "Content-Length: 20\r\nExpect: 100-continue\r\n\r\n",
}
PAGE = {"Origin": "https://app.example.com"}


@pytest.fixture(scope="module", autouse=True)
def many_sockets() -> Iterator[None]:
    """Let this process, and nginx, have some thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def attacked(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that waits two seconds for a client; all attackers have one address."""
    with running_pair(
        environment,
        tmp_path_factory.mktemp("attacked"),
        SEND_TIMEOUT_SECONDS=str(TIMEOUT),
        EDGE_CONNECTIONS_PER_ADDRESS="65535",
        EDGE_REQUESTS_PER_SECOND="100000",
        EDGE_SLICE_BYTES=str(MIB // 2),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def path(attacked: Pair, owner: str) -> str:
    """The route of a large image."""
    image_id = attacked.make_image(owner, DATA)
    route = f"/v1/images/{image_id}/range"
    assert attacked.ask("GET", route, {"X-User-Id": owner}).body == DATA
    return route


@contextmanager
def everyone_else(pair: Pair, path: str, owner: str) -> Iterator[None]:
    """Whoever behaves is answered within two seconds, all the time."""
    targets = {
        f"{pair.edge.url}/healthz": ({}, None),
        f"{pair.edge.url}{path}": ({"X-User-Id": owner, **READ}, BLOCK[131_072:196_608]),
    }
    with honest_client(targets, seconds=HONEST_SECONDS):
        yield


def test_a_long_answer_takes_no_more_memory_to_its_end(attacked: Pair, path: str, owner: str) -> None:
    """What nginx keeps of each slice until the answer ends must not add up to the image."""
    before = worker_memory(attacked)
    with connections(attacked, [get(path, owner)]) as (reader,):
        # As fast as it goes, so that nginx fills its buffers.
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        received = 0
        while received < len(DATA) - MIB:
            received += len(reader.recv(65_536))
        grown = worker_memory(attacked) - before
    assert grown < 8 * MIB


def test_bodies_of_one_byte_chunks(attacked: Pair, path: str, owner: str) -> None:
    """Four million chunks, on three connections at once."""
    chunks = b"1\r\n \r\n" * MIB
    answers: list[bytes] = []

    def post() -> None:
        with connections(
            attacked, [f"{POST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()]
        ) as (connection,):
            connection.settimeout(60)
            for _ in range(4):
                connection.sendall(chunks[: len(chunks) - 6])
            connection.sendall(b"2\r\n{}\r\n0\r\n\r\n")
            received = b""
            while block := connection.recv(65_536):
                received += block
            answers.append(received)

    with everyone_else(attacked, path, owner):
        posting = [threading.Thread(target=post) for _ in range(3)]
        for thread in posting:
            thread.start()
        for thread in posting:
            thread.join()
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"200"] * 3


def test_pipelined_requests_whose_answers_nobody_reads(attacked: Pair, path: str, owner: str) -> None:
    ranges = 50 * get(path, owner, f"Range: bytes=0-{4 * MIB - 1}\r\n")
    wholes = 50 * get(path, owner)
    with (
        everyone_else(attacked, path, owner),
        connections(attacked, 48 * [ranges] + 48 * [wholes]) as readers,
    ):
        until_let_go(readers, read=False)


@pytest.mark.parametrize("form", HALF_BODIES)
def test_half_sent_bodies(attacked: Pair, path: str, owner: str, form: str) -> None:
    request = f"{POST}{HALF_BODIES[form]}".encode()
    with everyone_else(attacked, path, owner), connections(attacked, 80 * [request]) as senders:
        until_let_go(senders, read=True)


def test_half_sent_heads(attacked: Pair, path: str, owner: str) -> None:
    heads = [b"GET /healthz HTTP/1.1\r\nHo", b"GET ", get(path, owner)[:-2]]
    with everyone_else(attacked, path, owner), connections(attacked, 100 * heads) as senders:
        until_let_go(senders, read=True)


def test_stalled_readers_of_whole_images_take_little_memory(attacked: Pair, path: str, owner: str) -> None:
    readers = 100
    before = worker_memory(attacked)
    most = before
    with (
        everyone_else(attacked, path, owner),
        connections(attacked, readers * [get(path, owner)]) as stalled,
    ):
        watched = time.monotonic() + TIMEOUT
        while time.monotonic() < watched:
            most = max(most, worker_memory(attacked))
            time.sleep(0.05)
        until_let_go(stalled, read=False)
    assert (most - before) / readers < 2 * MIB


def worker_memory(pair: Pair) -> int:
    """Bytes that nginx's workers hold, VmRSS."""
    master = pair.edge.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    total = 0
    for worker in workers:
        # A helper process of nginx may just have ended.
        with suppress(FileNotFoundError):
            status = Path(f"/proc/{worker}/status").read_text()
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return 1024 * total


def test_idle_connections(attacked: Pair, path: str, owner: str) -> None:
    """2,000 that never ask, which are let go, and 500 that asked once, which may stay."""
    once = get(path, owner, "Range: bytes=0-0\r\n")
    with (
        everyone_else(attacked, path, owner),
        connections(attacked, 500 * [once]) as kept,
        connections(attacked, 2000 * [b""]) as silent,
    ):
        for connection in kept:
            assert connection.recv(12) == b"HTTP/1.1 206"
        until_let_go(silent, read=True)
        for connection in kept:
            connection.sendall(once)
        assert all(is_open(connection) for connection in kept)


def test_readers_that_drip(attacked: Pair, path: str, owner: str) -> None:
    """At 1 KB/s, for longer than nginx waits for one that takes nothing."""
    pace = threading.Event()
    with (
        everyone_else(attacked, path, owner),
        connections(
            attacked, 40 * [get(path, owner), get(path, owner, f"Range: bytes=0-{8 * MIB}\r\n")]
        ) as slow,
    ):
        for _ in range(2 * TIMEOUT + 1):
            for connection in slow:
                with suppress(ConnectionError):
                    connection.recv(1024)
            pace.wait(1)
        assert attacked.ask("GET", path, {"X-User-Id": owner}).body == DATA


@pytest.fixture(scope="module")
def strict(attacked: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Another nginx before the same gateway, with limits that a test can reach."""
    folder = tmp_path_factory.mktemp("strict")
    edge_port, internal_port = find_free_ports(2)
    variables = {
        **attacked.environment,
        **edge_environment(folder, edge_port, internal_port),
        "EDGE_TOKEN": attacked.environment["EDGE_TOKEN"],
        "EDGE_CONNECTIONS_PER_ADDRESS": "4",
        "EDGE_REQUESTS_PER_SECOND": "1",
        "SEND_TIMEOUT_SECONDS": "20",
    }
    settings = load_settings(variables)
    edge = start_edge(settings, store_address(settings), folder)
    yield replace(attacked, edge=edge, environment=variables, folder=folder)
    edge.stop()


def assert_is_told_to_wait(answer: Answer) -> None:
    """A page of another origin can read why, and when to come again."""
    assert (answer.status, answer.code) == (429, "TOO_MANY_REQUESTS")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def all_connections_are_taken(strict: Pair, path: str, owner: str) -> bool:
    """Stall four reads, and check that no other is let in; False if one of the four was not."""
    with connections(strict, 4 * [get(path, owner)]) as stalled:
        # The head of one that has come in counts.
        if any(connection.recv(12) != b"HTTP/1.1 200" for connection in stalled):
            return False
        for target, headers in (
            (path, {"X-User-Id": owner, **READ}),
            (path, {"X-User-Id": owner}),
            ("/healthz", {}),
        ):
            assert_is_told_to_wait(strict.ask("GET", target, {**headers, **PAGE}))
    return True


def test_too_many_requests_of_one_address_at_once(strict: Pair, path: str, owner: str) -> None:
    reader = {"X-User-Id": owner, **READ}
    assert strict.ask("GET", path, reader).status == 206
    deadline = time.monotonic() + LET_GO
    while not all_connections_are_taken(strict, path, owner):
        # nginx may not have let go of an earlier request.
        assert time.monotonic() < deadline
    deadline = time.monotonic() + LET_GO
    while strict.ask("GET", path, reader).status != 206:
        assert time.monotonic() < deadline


def test_too_many_requests_to_the_gateway_in_a_second_leave_cached_bytes_alone(
    strict: Pair, path: str, owner: str
) -> None:
    reader = {"X-User-Id": owner, **READ}
    answers = [strict.ask("GET", "/v1/images", {"X-User-Id": owner}) for _ in range(30)]
    refused = [answer for answer in answers if answer.status != 200]
    assert 20 <= len(refused) < 30
    for answer in refused:
        assert_is_told_to_wait(answer)
    for _ in range(100):
        answer = strict.ask("GET", path, reader)
        assert (answer.status, answer.body) == (206, BLOCK[131_072:196_608])
    # What nginx leaves to the gateway counts as well.
    both = {**reader, "Range": "bytes=0-1,3-4", **PAGE}
    assert_is_told_to_wait([strict.ask("GET", path, both) for _ in range(10)][-1])
