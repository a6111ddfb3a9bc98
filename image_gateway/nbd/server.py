"""An NBD server: accepts clients and serves one export to all of them."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from image_gateway.nbd.connection import Answer, Connection
from image_gateway.nbd.handshake import Export

MAX_CONNECTIONS = 16
THREADS_PER_CONNECTION = 4
STOP_SECONDS = 10.0
ACCEPT_PAUSE_SECONDS = 1.0


class NbdServer:
    """Serves an export on a listening socket until the end of the context.

    At its end requests that were received are answered, as far as that takes no longer than 10 seconds.
    A client above the limit of 16 is disconnected at once.

    Args:
        say: Called with a line about a client that was disconnected for what it did.
    """

    def __init__(
        self, listener: socket.socket, export: Export, answer: Answer, *, say: Callable[[str], None]
    ) -> None:
        self._listener, self._export, self._answer, self._say = listener, export, answer, say
        self._lock = threading.Lock()
        self._clients: dict[Connection, threading.Thread] = {}
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept_clients, name="nbd-accept", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()
        with self._lock:
            clients = dict(self._clients)
        deadline = time.monotonic() + STOP_SECONDS
        for client in clients:
            client.stop()
        for client, thread in clients.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            client.close()

    def _accept_clients(self) -> None:
        self._listener.setblocking(False)
        while self._woken not in select.select([self._listener, self._woken], [], [])[0]:
            try:
                accepted, _ = self._listener.accept()
            except OSError as error:
                # No free descriptor, for one; the client stays in the queue.
                self._say(f"a client cannot be accepted: {error}")
                select.select([self._woken], [], [], ACCEPT_PAUSE_SECONDS)
            else:
                self._accept(accepted)

    def _accept(self, accepted: socket.socket) -> None:
        accepted.setblocking(True)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Connection(accepted, self._export, self._answer, threads=THREADS_PER_CONNECTION)
        with self._lock:
            if len(self._clients) >= MAX_CONNECTIONS:
                accepted.close()
                self._say(f"a client was refused: {MAX_CONNECTIONS} are connected")
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="nbd-client", daemon=True)
            self._clients[client] = thread
        thread.start()

    def _serve(self, client: Connection) -> None:
        try:
            complaint = client.run()
            if complaint is not None:
                self._say(f"a client left: {complaint}")
        finally:
            with self._lock:
                del self._clients[client]
