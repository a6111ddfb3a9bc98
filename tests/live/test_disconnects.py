"""Clients that go away in the middle of a body leave nothing behind."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway

SIZE = 6 * 1024 * 1024
BOUND = 60
# Where clients go away, and how many.
AT_ONCE, AFTER_A_BYTE, HALFWAY, BEFORE_THE_LAST = (0, 400), (1, 400), (SIZE // 2, 100), (SIZE - 1, 100)


@pytest.fixture
def image_path(client: GatewayClient, tmp_path: Path) -> str:
    file = tmp_path / "disk.img"
    file.write_bytes(os.urandom(SIZE))
    return f"/v1/images/{upload_file(client, file, parallel=2, on_bytes=lambda _: None).image_id}"


def workers_of(gateway: LocalGateway) -> list[int]:
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def in_use(gateway: LocalGateway) -> tuple[int, int]:
    """Sockets and other descriptors, and threads, of all workers."""
    workers = workers_of(gateway)
    descriptors = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in workers)
    return descriptors, sum(len(os.listdir(f"/proc/{pid}/task")) for pid in workers)


def go_away(gateway: LocalGateway, request: bytes, after: int) -> None:
    """Read so many bytes of a body, and reset the connection; again while others hold all streams."""
    deadline = time.monotonic() + BOUND
    while not is_gone_away(gateway, request, after):
        assert time.monotonic() < deadline, "the streams of those who went away were never freed"


def is_gone_away(gateway: LocalGateway, request: bytes, after: int) -> bool:
    parts = urlsplit(gateway.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=BOUND) as connection:
        connection.sendall(request)
        left = after
        if left:
            head, begun = read_head(connection)
            if head.startswith(b"HTTP/1.1 503 "):
                return False
            left -= len(begun)
        while left > 0:
            block = connection.recv(min(left, 1_000_000))
            assert block
            left -= len(block)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(4096)
        assert block
        received += block
    head, _, begun = received.partition(b"\r\n\r\n")
    return head, begun


def test_a_thousand_disconnects_leave_nothing_behind(
    gateway: LocalGateway, client: GatewayClient, image_path: str
) -> None:
    user = client.who.credentials().headers["X-User-Id"]
    request = f"GET {image_path}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: {user}\r\n\r\n".encode()

    def disconnect(share: float) -> None:
        with ThreadPoolExecutor(6) as pool:
            for after, times in (AT_ONCE, AFTER_A_BYTE, HALFWAY, BEFORE_THE_LAST):
                list(pool.map(lambda at: go_away(gateway, request, at), [after] * int(times * share)))

    # The pools of threads and of connections to the store grow to their size.
    disconnect(0.05)
    before = in_use(gateway)
    disconnect(1)
    deadline = time.monotonic() + BOUND
    # At most the rest of these pools: 8 threads, and as many connections to the store, for each of 2 workers.
    while in_use(gateway)[0] > before[0] + 16 or in_use(gateway)[1] > before[1] + 16:
        assert time.monotonic() < deadline, f"{before} before, {in_use(gateway)} after"
        threading.Event().wait(0.1)
    assert client.image(image_path.removeprefix("/v1/images/"))["state"] == "complete"
