"""Clients that misuse connections, many at once, on gunicorn without a front door."""

from __future__ import annotations

import os
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from tests.live.support import exchange

pytestmark = pytest.mark.thorough
Attack = Callable[[int, str], list[socket.socket]]
WORKERS, THREADS, SEND_TIMEOUT = 2, 16, 2
BACK_WITHIN = SEND_TIMEOUT + 5
# More than the kernel keeps for a client that reads nothing.
SIZE = 12 * 1024 * 1024
POST = "POST /v1/images HTTP/1.1\r\nHost: x\r\nX-User-Id: USER\r\nContent-Type: application/json\r\n"
HALF_SENT_BODIES = {
    "Content-Length cut": f"{POST}Content-Length: 20\r\n\r\n{{",
    "chunk announced and not sent": f"{POST}Transfer-Encoding: chunked\r\n\r\n5\r\n",
    "chunk size line cut": f"{POST}Transfer-Encoding: chunked\r\n\r\n5",
    "Expect without a body": f"{POST}Expect: 100-continue\r\nContent-Length: 20\r\n\r\n",
}
GET_IMAGE = "GET {}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\n\r\n"


@pytest.fixture(scope="module")
def attacked(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGateway]:
    """A gateway that waits two seconds for a client."""
    changes = {
        "SEND_TIMEOUT_SECONDS": str(SEND_TIMEOUT),
        "WEB_WORKERS": str(WORKERS),
        "WEB_THREADS": str(THREADS),
        "STREAM_QUEUE_SECONDS": "1",
        "LOG_LEVEL": "info",
    }
    log = tmp_path_factory.mktemp("attacked") / "gateway.log"
    running = start_gateway({**os.environ, **environment, **changes}, port=find_free_ports(1)[0], log=log)
    yield running
    running.process.kill()


@pytest.fixture(scope="module")
def image_path(attacked: LocalGateway, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("image") / "disk.img"
    file.write_bytes(os.urandom(SIZE))
    client = GatewayClient(attacked.url, "me")
    return f"/v1/images/{upload_file(client, file, parallel=2, on_bytes=lambda _: None).image_id}"


@pytest.fixture
def attack(attacked: LocalGateway) -> Iterator[Attack]:
    """Opens connections that send the same; USER is another user in each."""
    with ExitStack() as opened:
        yield lambda times, sent: [opened.enter_context(connect(attacked, sent)) for _ in range(times)]


def connect(gateway: LocalGateway, sent: str) -> socket.socket:
    """Send something over a connection with a small window."""
    parts = urlsplit(gateway.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.connect((parts.hostname, parts.port))
    # A client that does not read cannot always send all that it wants to.
    connection.setblocking(False)
    connection.send(sent.replace("USER", uuid.uuid4().hex).encode())
    return connection


def assert_the_gateway_stays_usable(
    gateway: LocalGateway, attackers: list[socket.socket], *, gone_within: float = BACK_WITHIN
) -> None:
    """/healthz answers in time until the gateway has let go of all attackers; then all threads are free."""
    began = time.monotonic()
    with urllib3.PoolManager(retries=False, timeout=BACK_WITHIN) as http:
        while attackers:
            answer = http.request("GET", f"{gateway.url}/healthz", headers={"Connection": "close"})
            assert answer.status == 200
            attackers = [attacker for attacker in attackers if not is_let_go(attacker)]
            assert time.monotonic() - began < gone_within, f"{len(attackers)} attackers are still there"
    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS * THREADS) as pool:
        assert set(pool.map(status_of_health, [gateway] * WORKERS * THREADS)) == {200}
    assert time.monotonic() - began < SEND_TIMEOUT, "some threads are still held"


def is_let_go(attacker: socket.socket) -> bool:
    """Whether the gateway has closed the connection, or refused its request and waits without a thread."""
    ended = select.poll()
    ended.register(attacker, select.POLLRDHUP)
    if ended.poll(0):
        return True
    try:
        return attacker.recv(64, socket.MSG_PEEK).startswith(b"HTTP/1.1 503 ")
    except BlockingIOError:
        return False


def status_of_health(gateway: LocalGateway) -> int:
    with urllib3.PoolManager(retries=False, timeout=BACK_WITHIN) as http:
        return http.request("GET", f"{gateway.url}/healthz").status


@pytest.mark.parametrize("sent", HALF_SENT_BODIES.values(), ids=HALF_SENT_BODIES)
def test_half_sent_bodies_do_not_hold_threads(attacked: LocalGateway, attack: Attack, sent: str) -> None:
    assert_the_gateway_stays_usable(attacked, attack(80, sent))


def test_half_sent_bodies_that_nobody_wants_do_not_hold_threads(
    attacked: LocalGateway, attack: Attack
) -> None:
    unread = "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"
    assert_the_gateway_stays_usable(attacked, attack(80, unread))


def test_half_sent_heads_do_not_hold_threads(attacked: LocalGateway, attack: Attack) -> None:
    assert_the_gateway_stays_usable(attacked, attack(300, "GET /healthz HTTP/1.1\r\nHo"))
    log = attacked.process.log.read_text()
    assert f"client timeout: request not complete after {SEND_TIMEOUT} s" in log
    assert "Traceback" not in log


def test_silent_connections_do_not_hold_threads(attacked: LocalGateway, attack: Attack) -> None:
    assert_the_gateway_stays_usable(attacked, attack(300, ""))


def test_connections_that_clients_do_not_close_do_not_hold_the_main_loop(
    attacked: LocalGateway, attack: Attack
) -> None:
    last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert_the_gateway_stays_usable(attacked, attack(100, last))


def test_readers_that_read_nothing_do_not_hold_threads(
    attacked: LocalGateway, attack: Attack, image_path: str
) -> None:
    assert_the_gateway_stays_usable(attacked, attack(100, GET_IMAGE.format(image_path)))
    assert f"client timeout: client read nothing for {SEND_TIMEOUT} s" in attacked.process.log.read_text()


def test_pipelining_without_reading_images_does_not_hold_threads(
    attacked: LocalGateway, attack: Attack, image_path: str
) -> None:
    assert_the_gateway_stays_usable(attacked, attack(96, 50 * GET_IMAGE.format(image_path)))


def test_pipelining_without_reading_short_answers_does_not_hold_threads(
    attacked: LocalGateway, attack: Attack
) -> None:
    get = "GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n"
    # Each holds a thread until it is let go, and there are more of them than threads.
    assert_the_gateway_stays_usable(attacked, attack(48, 1000 * get), gone_within=3 * BACK_WITHIN)


def test_the_cost_of_a_body_in_small_chunks_is_linear(gateway: LocalGateway) -> None:
    """The app takes up to 4 MiB, so it reads these bodies whole before it says what is wrong with them."""
    kib = 1024
    cost_of_chunks(gateway, 16 * kib)
    small, large = cost_of_chunks(gateway, 256 * kib), cost_of_chunks(gateway, 1024 * kib)
    assert large / small < 6


def cost_of_chunks(gateway: LocalGateway, size: int) -> float:
    """CPU time of the workers, in clock ticks, for a body in chunks of one byte."""
    before = ticks_of_workers(gateway)
    body = b'["' + b"a" * (size - 4) + b'"]'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = POST.replace("USER", uuid.uuid4().hex) + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(gateway.url, head.encode() + chunks + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"body: Invalid input type" in answer
    return ticks_of_workers(gateway) - before


def ticks_of_workers(gateway: LocalGateway) -> int:
    """User and system time; see proc_pid_stat(5)."""
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text()
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children.split()]
    return sum(int(field[11]) + int(field[12]) for field in fields)
