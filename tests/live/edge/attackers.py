"""Connections to nginx that send and do not read, and waiting until it ends them."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.live.edge.conftest import Pair

# Until a client that stalls is let go: nginx's own time, again for what the kernel takes, and a busy machine.
LET_GO = 20


@contextmanager
def connections(pair: Pair, requests: Iterable[bytes]) -> Iterator[list[socket.socket]]:
    """One connection with a small window for each of the requests, which are sent."""
    with ExitStack() as stack:
        opened = []
        for request in requests:
            connection = stack.enter_context(socket.socket())
            # Else the kernel takes megabytes for a client that does not read.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            connection.settimeout(LET_GO)
            connection.connect(("127.0.0.1", int(pair.environment["EDGE_PORT"])))
            connection.sendall(request)
            opened.append(connection)
        yield opened


def until_let_go(waiting: list[socket.socket], *, read: bool) -> None:
    """Wait until nginx has ended all of them; `read` what it sent before, or leave it."""
    by_number = {connection.fileno(): connection for connection in waiting}
    ends = select.poll()
    for number in by_number:
        ends.register(number, (select.POLLIN if read else 0) | select.POLLHUP | select.POLLERR)
    deadline = time.monotonic() + LET_GO
    while by_number:
        assert time.monotonic() < deadline, f"{len(by_number)} connections are still open"
        for number, events in ends.poll(500):
            if read and not events & select.POLLERR and is_open(by_number[number]):
                continue
            ends.unregister(number)
            del by_number[number]


def is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(65_536))
    except ConnectionError:
        return False


def get(path: str, owner: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-User-Id: {owner}\r\n{more}\r\n".encode()
