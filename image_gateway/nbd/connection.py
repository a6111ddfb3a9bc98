"""One client of an NBD server: its negotiation, and its requests, several at once."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from image_gateway.nbd import wire
from image_gateway.nbd.handshake import Export, negotiate

HANDSHAKE_SECONDS = 30
BUFFER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Request:
    """A command of a client: `data` are the bytes of a write."""

    command: int
    flags: int
    cookie: int
    offset: int
    length: int
    data: bytes = field(default=b"", repr=False)


class CommandFailed(Exception):
    """A command is answered with an error; `errno` is one of NBD's."""

    def __init__(self, errno: int) -> None:
        super().__init__(f"error {errno}")
        self.errno = errno


# Returns the bytes that a read asked for, and none for other commands; raises CommandFailed.
Answer = Callable[[Request], bytes]


class Connection:
    """Answers the requests of one client, each in the first of several threads that is free.

    A thread that is free receives the next request, so that at most one request per thread is in memory.

    Args:
        connection: A connected socket, which `run` and `close` close.
        threads: Number of requests that are answered at the same time.
        answer: Called in any of the threads, also for requests that are answered at the same time.
    """

    def __init__(self, connection: socket.socket, export: Export, answer: Answer, *, threads: int) -> None:
        self._connection, self._export, self._answer = connection, export, answer
        # Without a buffer each request costs two calls at least, at which threads change.
        self._stream = io.BufferedReader(connection.makefile("rb", 0), BUFFER_BYTES)
        self._threads = self._working = threads
        self._receive_lock, self._send_lock = threading.Lock(), threading.Lock()
        self._ended = False
        self._over = threading.Event()

    def run(self) -> str | None:
        """Serve the client until it leaves, or until `stop` or `close` is called.

        Returns:
            Why the connection ended, unless the client said goodbye or the server wanted it.
        """
        complaint = None
        try:
            if self._negotiate():
                complaint = self._serve()
        except wire.NbdError as error:
            complaint = str(error)
        except OSError as error:
            complaint = f"negotiating failed: {error}"
        finally:
            self.close()
        return complaint

    def stop(self) -> None:
        """Receive no further request; those that were received are still answered."""
        self._shut_down(socket.SHUT_RD)

    def close(self) -> None:
        """Close the socket at once; requests that are being answered go on, and their answers are lost."""
        self._shut_down(socket.SHUT_RDWR)
        self._over.set()
        # No thread uses a descriptor that may be another file's by now.
        with self._receive_lock, self._send_lock:
            self._stream.close()
            self._connection.close()

    def _negotiate(self) -> bool:
        with self._receive_lock, self._send_lock:
            self._connection.settimeout(HANDSHAKE_SECONDS)
            if not negotiate(self._connection, self._export):
                return False
            self._connection.settimeout(None)
            return True

    def _shut_down(self, how: int) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(how)

    def _serve(self) -> str | None:
        complaints: list[str] = []
        for _ in range(self._threads):
            threading.Thread(target=self._work, args=(complaints,), name="nbd-request", daemon=True).start()
        self._over.wait()
        return next(iter(complaints), None)

    def _work(self, complaints: list[str]) -> None:
        try:
            while (request := self._next_request(complaints)) is not None:
                self._handle(request)
        except OSError as error:
            if not self._over.is_set():
                complaints.append(f"its answers cannot be sent: {error}")
        finally:
            # The other threads still answer what they received.
            self.stop()
            with self._receive_lock:
                self._working -= 1
                if self._working == 0:
                    self._over.set()

    def _next_request(self, complaints: list[str]) -> Request | None:
        with self._receive_lock:
            if self._ended:
                return None
            try:
                request = _receive_request(self._stream, self._export.max_payload)
            except (wire.NbdError, OSError) as error:
                if not self._ended:
                    complaints.append(str(error))
                request = None
            self._ended = self._ended or request is None
            return request

    def _handle(self, request: Request) -> None:
        try:
            data = self._answer(request)
        except CommandFailed as error:
            self._reply(request.cookie, error.errno)
        else:
            self._reply(request.cookie, 0, data)

    def _reply(self, cookie: int, error: int, data: bytes = b"") -> None:
        head = wire.SIMPLE_REPLY.pack(wire.SIMPLE_REPLY_MAGIC, error, cookie)
        with self._send_lock:
            self._connection.sendall(head + data)


def _receive_request(stream: BinaryIO, max_payload: int) -> Request | None:
    """Return the next request with its data, or None when the client leaves.

    Raises:
        wire.NbdError: The client broke the protocol, left within a request, or writes more than it may.
    """
    head = stream.read(wire.REQUEST.size)
    if not head:
        return None
    if len(head) < wire.REQUEST.size:
        raise wire.NbdError("the connection was closed")
    magic, flags, command, cookie, offset, length = wire.REQUEST.unpack(head)
    if magic != wire.REQUEST_MAGIC:
        raise wire.NbdError("the client sent an invalid request")
    if command == wire.CMD_DISC:
        return None
    if command != wire.CMD_WRITE:
        return Request(command, flags, cookie, offset, length)
    if length > max_payload:
        raise wire.NbdError(f"the client sent a write of {length} bytes, and {max_payload} is the most")
    data = stream.read(length)
    if len(data) < length:
        raise wire.NbdError("the connection was closed")
    return Request(command, flags, cookie, offset, length, data)
