"""A TCP proxy between gateway and store that tells what passes through it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

BLOCK = 65_536
Watch = Callable[[str, bytes, dict[str, bool]], None]


@contextmanager
def watching_proxy(target: tuple[str, int], watch: Watch) -> Iterator[int]:
    """Listen on a port of its own and forward to `target`.

    `watch` is called before each block is passed on, with "request" or "answer", the bytes, and a
    dictionary that belongs to the connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, target, watch), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket, target: tuple[str, int], watch: Watch) -> None:
    # Closing the listening socket ends the thread.
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_connect, args=(client, target, watch), daemon=True).start()


def _connect(client: socket.socket, target: tuple[str, int], watch: Watch) -> None:
    notes: dict[str, bool] = {}
    with client, socket.create_connection(target) as store:
        answers = threading.Thread(target=_pump, args=(store, client, "answer", watch, notes), daemon=True)
        answers.start()
        _pump(client, store, "request", watch, notes)
        answers.join()


def _pump(
    source: socket.socket, sink: socket.socket, name: str, watch: Watch, notes: dict[str, bool]
) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK):
            watch(name, block, notes)
            sink.sendall(block)
    for side in (source, sink):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
