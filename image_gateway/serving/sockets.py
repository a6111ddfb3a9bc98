"""A client's connection that gives a client up who takes nothing, or sends nothing, for too long."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import IO, Any

# How often within its patience a waiting sender tries again: the kernel wakes it only when a third of its
# buffer is free, which takes a slow but live client minutes.
LOOKS = 8
# Keeps a head back in the kernel until the file's first bytes come; where it is not known it goes at once.
_MORE = getattr(socket, "MSG_MORE", 0)


class Stalled(TimeoutError):
    """The client took nothing for as long as is allowed."""


class GatewaySocket(socket.socket):
    """An accepted connection; blocking, so that one call sends a block, and still never stuck."""

    _patience: float
    read_until: float
    fell_silent: bool

    @classmethod
    def adopt(cls, accepted: socket.socket, patience: float) -> GatewaySocket:
        """Take over a connection; `patience` in seconds."""
        taken = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        taken._patience = patience
        taken.read_until = float("inf")
        taken.fell_silent = False
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(patience / LOOKS))
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(patience))
        return taken

    def setblocking(self, flag: bool) -> None:
        """Without a system call where nothing changes: gunicorn says it several times a request."""
        if not flag or self.gettimeout() is not None:
            super().setblocking(flag)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read; a client that is silent too long, or drips past `read_until`, counts as gone."""
        if flags or self.gettimeout() is not None:
            return super().recv(size, flags)
        if time.monotonic() < self.read_until:
            with contextlib.suppress(BlockingIOError):
                return super().recv(size)
        self.fell_silent = True
        return b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything; raises Stalled."""
        if self.gettimeout() is not None:
            super().sendall(data, flags)
            return
        with memoryview(data) as view, view.cast("B") as content:
            self._push(len(content), lambda done: self.send(content[done:], flags))

    def send_with_head(self, head: bytes, body: bytes) -> None:
        """Send both by one call where they fit; raises Stalled."""
        try:
            sent = self.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        if sent < len(head):
            self.sendall(head[sent:])
            sent = len(head)
        if sent < len(head) + len(body):
            self.sendall(memoryview(body)[sent - len(head) :])

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Let the kernel send `count` bytes of a file; raises Stalled, or OSError when it is shorter."""
        source = file.fileno()
        wanted = os.fstat(source).st_size - offset if count is None else count

        def send(done: int) -> int:
            sent = os.sendfile(self.fileno(), source, offset + done, wanted - done)
            if not sent:
                raise OSError(f"the file ended {wanted - done} bytes early")
            return sent

        self._push(wanted, send)
        return wanted

    def send_file_with_head(self, head: bytes, file: IO[bytes], offset: int, count: int) -> None:
        """Send both in one segment where they fit; raises as `sendfile`."""
        self.sendall(head, _MORE)
        self.sendfile(file, offset, count)

    def abort(self) -> None:
        """Close, and throw away what the client did not take."""
        with contextlib.suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def _push(self, size: int, send: Callable[[int], int]) -> None:
        done = 0
        last_taken = time.monotonic()
        while done < size:
            try:
                done += send(done)
            except BlockingIOError:
                if time.monotonic() - last_taken >= self._patience:
                    raise Stalled(f"the client took nothing for {self._patience:g} s") from None
            else:
                last_taken = time.monotonic()


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
