"""Client timeouts for gunicorn's gthread worker, implemented in the listening and accepted sockets."""

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
# Linux wakes a blocked sender only when a third of its buffer is free, so send is retried more often.
_SEND_ATTEMPTS = 8
# gunicorn's main loop waits up to two seconds per connection for the client to close.
_LINGER_SECONDS = 0.01


class ListeningSocket(socket.socket):
    """Accepts connections as ClientSocket.

    On Linux, TCP_DEFER_ACCEPT holds connections back until the client has sent data.
    """

    def __init__(self, listener: Any, seconds: float) -> None:
        super().__init__(fileno=listener.detach())
        self._seconds = seconds
        self.clients: weakref.WeakSet[ClientSocket] = weakref.WeakSet()
        self._defers = hasattr(socket, "TCP_DEFER_ACCEPT") and self.family != socket.AF_UNIX
        if self._defers:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, max(1, int(seconds)))

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; raises BlockingIOError if no client has sent data."""
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
    """A connection with timeouts.

    A request must be complete within `seconds`. While a response is sent, the client must not stop reading
    for `seconds`. On timeout the connection is closed.
    """

    def __init__(self, accepted: socket.socket, seconds: float) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._last_read: float | None = None
        self._is_response_started = self._is_closing = False
        timeval = struct.pack("ll", *divmod(int(seconds / _SEND_ATTEMPTS * 1_000_000), 1_000_000))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def is_readable(self, seconds: float) -> bool:
        """Wait up to `seconds` for data or end of file."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive request data; returns b"" on timeout, as if the client had closed the connection."""
        if self.gettimeout() is None:
            now = time.monotonic()
            if self._is_response_started:
                self._is_response_started, self._deadline, self._last_read = False, now + self._seconds, None
            # Data that arrived while the request waited for a thread is read even after the deadline.
            self._last_read = self._last_read or now + self._seconds
            if now > self._last_read or not self.is_readable(self._deadline - now):
                self._abort(f"request not complete after {self._seconds:g} s")
                return b""
        return super().recv(size, flags)

    def settimeout(self, seconds: float | None) -> None:
        """Limit gunicorn's timeouts for data that it discards."""
        if seconds:
            left = _LINGER_SECONDS if self._is_closing else self._deadline - time.monotonic()
            seconds = max(0.001, min(seconds, left))
        super().settimeout(seconds)

    def shutdown(self, how: int) -> None:
        self._is_closing = how != socket.SHUT_RD
        super().shutdown(how)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all data; raises ConnectionResetError when the client stops reading."""
        if self.gettimeout() is None:
            view = memoryview(data).cast("B")
            self._send(len(view), lambda done: self.send(view[done:], flags))
        elif not self._is_response_started:
            # gunicorn sends a 400 for a malformed body even after the app's response; that one is dropped.
            super().sendall(data, flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `count` bytes of a file with sendfile(2); raises the errors of `sendall`."""
        size = os.fstat(file.fileno()).st_size - offset if count is None else count
        self._send(size, lambda done: os.sendfile(self.fileno(), file.fileno(), offset + done, size - done))
        return size

    def _send(self, size: int, send: Callable[[int], int]) -> None:
        self._is_response_started, done, last = True, 0, time.monotonic()
        while done < size:
            try:
                sent = send(done)
            except BlockingIOError:
                if time.monotonic() - last >= self._seconds:
                    self._abort(f"client read nothing for {self._seconds:g} s")
                    raise ConnectionResetError(errno.ECONNRESET, "the client stopped reading") from None
                continue
            if not sent:
                raise OSError(f"the file ended {size - done} bytes early")
            done, last = done + sent, time.monotonic()

    def _abort(self, reason: str) -> None:
        STALLS.inc()
        _log.warning("client timeout: %s; closing the connection", reason)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.shutdown(socket.SHUT_RDWR)
