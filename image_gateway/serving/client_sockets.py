"""Time-outs on client connections, by the sockets that gunicorn's stock gthread worker accepts from."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import struct
import time
import weakref
from collections.abc import Callable
from typing import Any

from image_gateway.observability.metrics import STALLS

_log = logging.getLogger("image_gateway")
# Linux wakes a sender only when a third of its buffer is free, so a send is tried again before that.
_TRIES = 8
# gunicorn waits for the client's side of a close in its main loop, up to two seconds for each connection.
_LINGER_SECONDS = 0.01


class ListeningSocket(socket.socket):
    """Accepts connections that have time-outs; on Linux only from clients that have sent something."""

    def __init__(self, listener: Any, seconds: float) -> None:
        super().__init__(fileno=listener.detach())
        self._seconds = seconds
        self.clients: weakref.WeakSet[ClientSocket] = weakref.WeakSet()
        self._defers = hasattr(socket, "TCP_DEFER_ACCEPT") and self.family != socket.AF_UNIX
        if self._defers:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, max(1, int(seconds)))

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; BlockingIOError when there is none whose client has sent something."""
        if self.fileno() < 0:
            raise BlockingIOError(errno.EAGAIN, "the server is stopping")
        accepted, address = super().accept()
        client = ClientSocket(accepted, self._seconds)
        if self._defers and not client.is_readable(0):
            client.close()
            raise BlockingIOError(errno.EAGAIN, "the client sent nothing")
        self.clients.add(client)
        return client, address


class ClientSocket(socket.socket):
    """A connection whose client must send a request within `seconds`, and never stop reading for as long."""

    def __init__(self, accepted: socket.socket, seconds: float) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._last_read: float | None = None
        self._is_answered = self._is_ending = False
        timeval = struct.pack("ll", *divmod(int(seconds / _TRIES * 1_000_000), 1_000_000))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def is_readable(self, seconds: float) -> bool:
        """Wait until data, or the end of them, have come."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read some of a request; nothing, as if the client had closed, when its time is over."""
        if self.gettimeout() is None:
            now = time.monotonic()
            if self._is_answered:
                self._is_answered, self._deadline, self._last_read = False, now + self._seconds, None
            # What came while the request waited for a thread is read without waiting.
            self._last_read = self._last_read or now + self._seconds
            if now > self._last_read or not self.is_readable(self._deadline - now):
                self._let_go(f"its request was not complete after {self._seconds:g} s")
                return b""
        return super().recv(size, flags)

    def settimeout(self, seconds: float | None) -> None:
        """Shorten gunicorn's waits for data that it discards."""
        if seconds:
            left = _LINGER_SECONDS if self._is_ending else self._deadline - time.monotonic()
            seconds = max(0.001, min(seconds, left))
        super().settimeout(seconds)

    def shutdown(self, how: int) -> None:
        self._is_ending = how != socket.SHUT_RD
        super().shutdown(how)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything; ConnectionResetError when the client stops reading."""
        if self.gettimeout() is None:
            view = memoryview(data).cast("B")
            self._send(len(view), lambda done: self.send(view[done:], flags))
        elif not self._is_answered:
            # gunicorn refuses a malformed body by a second answer, when it has been answered unread.
            super().sendall(data, flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `count` bytes of a file by the kernel; errors as in `sendall`."""
        size = os.fstat(file.fileno()).st_size - offset if count is None else count
        self._send(size, lambda done: os.sendfile(self.fileno(), file.fileno(), offset + done, size - done))
        return size

    def _send(self, size: int, send: Callable[[int], int]) -> None:
        self._is_answered, done, last = True, 0, time.monotonic()
        while done < size:
            try:
                sent = send(done)
            except BlockingIOError:
                if time.monotonic() - last >= self._seconds:
                    self._let_go(f"it read nothing for {self._seconds:g} s")
                    raise ConnectionResetError(errno.ECONNRESET, "the client stopped reading") from None
                continue
            if not sent:
                raise OSError(f"the file ended {size - done} bytes early")
            done, last = done + sent, time.monotonic()

    def _let_go(self, reason: str) -> None:
        STALLS.inc()
        _log.warning("a client was let go: %s", reason)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.shutdown(socket.SHUT_RDWR)
