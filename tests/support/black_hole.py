"""A TCP proxy that can stop passing anything on while every connection stays open, as a firewall does it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BLOCK = 65_536


class BlackHole:
    """Forwards connections to `target` until `swallow`; from then on none is answered."""

    def __init__(self, target: tuple[str, int] | None) -> None:
        self.swallowed = 0
        self._target = target
        self._silent = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        if target is None:
            self._silent.set()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def swallow(self) -> None:
        """Pass nothing on from now."""
        self._silent.set()

    def give_back(self) -> None:
        """End the connections that hang, and forward new ones again."""
        self._silent.clear()
        self._end_all()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            connections, self._open = self._open, []
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.append(client)
            self.swallowed += self._silent.is_set()
        with client, suppress(OSError):
            if self._target is None or self._silent.is_set():
                self._drain(client)
                return
            with socket.create_connection(self._target) as server:
                with self._lock:
                    self._open.append(server)
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()

    def _drain(self, client: socket.socket) -> None:
        while client.recv(BLOCK):
            pass

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(BLOCK):
                if not self._silent.is_set():
                    sink.sendall(block)
        for side in (source, sink):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@contextmanager
def black_hole(target: tuple[str, int] | None = None) -> Iterator[BlackHole]:
    """A proxy whose connections end with it; without a target it never answers."""
    hole = BlackHole(target)
    try:
        yield hole
    finally:
        hole.close()
