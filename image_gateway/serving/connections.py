"""A client's connection, and where connections wait that need no thread."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from gunicorn.workers.gthread import TConn

from image_gateway.serving.intake import Intake, Progress
from image_gateway.serving.sockets import GatewaySocket

BLOCK = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """Reads a request as far as it has come, without waiting for the rest."""

    sock: Any

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.intake = Intake()
        self.begun: float | None = None
        self.continued = False
        self.is_plain = False
        self.is_part = False
        self.is_over = False

    def gather(self) -> Progress | None:
        """Read what is there; None when the client is gone. Anything but MORE is ready for the parser."""
        self.init()
        progress = self.intake.add(self.parser.unreader.take_buffered())
        while progress is Progress.MORE:
            try:
                block = self.sock.recv(BLOCK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._await_more()
                return progress
            if not block:
                return None
            progress = self.intake.add(block)
        self.continued = self.continued and self.intake.wants_continue
        self.is_part = progress is not Progress.WHOLE
        self.begun = None
        self.parser.unreader.unread(self.intake.take())
        return progress

    def _await_more(self) -> None:
        if self.intake.data and self.begun is None:
            self.begun = time.monotonic()
        if self.intake.wants_continue and not self.continued:
            self.continued = True
            self.sock.send(CONTINUE, socket.MSG_DONTWAIT)

    def drop(self) -> None:
        """Close at once, and throw away what the client did not take."""
        if isinstance(self.sock, GatewaySocket):
            self.sock.abort()
        else:
            self.close()

    def hang_up(self) -> bool:
        """Say that nothing more will come; False when the client is gone already."""
        self.is_over = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def has_more_to_discard(self) -> bool:
        """Throw away what a client still sends; closing on it would take the answer back."""
        try:
            return bool(self.sock.recv(BLOCK, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False


class Lobby:
    """Connections that wait for their client in the poller, each until its deadline."""

    def __init__(self, poller: selectors.BaseSelector, max_bytes: int) -> None:
        self._poller = poller
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: dict[Connection, tuple[float, int]] = {}

    def __contains__(self, conn: Connection) -> bool:
        return conn in self._waiting

    def enter(self, conn: Connection, deadline: float, on_readable: Callable[[Any], None]) -> None:
        """Wait until the client sends or `deadline`, of the monotonic clock."""
        self._poller.register(conn.sock, selectors.EVENT_READ, on_readable)
        self._waiting[conn] = (deadline, len(conn.intake.data))
        self._bytes += len(conn.intake.data)

    def leave(self, conn: Connection) -> None:
        """Stop waiting."""
        self._bytes -= self._waiting.pop(conn)[1]
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._poller.unregister(conn.sock)

    def expired(self, now: float) -> list[Connection]:
        """Whose deadline has come."""
        return [conn for conn, (deadline, _) in self._waiting.items() if deadline <= now]

    def hasten(self, deadline: float) -> None:
        """Let nobody wait longer than until `deadline`."""
        for conn, (until, size) in self._waiting.items():
            self._waiting[conn] = (min(until, deadline), size)

    def too_many_bytes(self) -> Iterator[Connection]:
        """The largest of the half-sent requests, as long as they hold more than they may together."""
        while self._bytes > self._max_bytes:
            yield max(self._waiting, key=lambda conn: self._waiting[conn][1])

    def longest_waiting(self) -> Connection | None:
        return next(iter(self._waiting), None)
