"""One GET after the other over kept connections: as much of HTTP/1.1 as bodies of known length need.

urllib3 connects, with its TLS; the exchange is ours, because http.client reads an answer's head by way of an
e-mail parser, which costs four times as much processor time as all the rest of a small ranged read (ADR 15).
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from urllib3.connection import HTTPConnection, HTTPSConnection

from image_gateway.observability.metrics import POOL_CONNECTIONS

MAX_HEAD = 64 * 1024
READ_AHEAD = 64 * 1024


class ConnectionBroken(OSError):
    """The connection ended, or what came over it is not HTTP/1.1 with a length."""


class Connection:
    """One connection; what it read beyond an answer's head is the beginning of the body."""

    def __init__(self, sock: socket.socket, release: Callable[[socket.socket], None]) -> None:
        self._sock = sock
        self._release = release
        self._buffer = b""
        self._is_counted = True
        POOL_CONNECTIONS.inc()

    def send_request(self, request: bytes) -> tuple[int, dict[str, str]]:
        """Send a request and return the answer's status and headers, their names in lower case."""
        try:
            self._sock.sendall(request)
        except BlockingIOError as error:
            raise TimeoutError("the store takes nothing") from error
        return parse_head(self._read_head())

    def read(self, amount: int) -> bytes:
        """Return up to `amount` bytes of the body, at least one unless the connection has ended."""
        if self._buffer:
            data, self._buffer = self._buffer[:amount], self._buffer[amount:]
            return data
        return self._receive(amount)

    def keep(self) -> None:
        """Give the connection back, its answer read; one with more to say is not to be trusted."""
        if self._buffer:
            self.close()
            return
        self._count_off()
        self._release(self._sock)

    def close(self) -> None:
        """End the connection; may be called again."""
        self._count_off()
        self._sock.close()

    def _count_off(self) -> None:
        if self._is_counted:
            self._is_counted = False
            POOL_CONNECTIONS.dec()

    def _receive(self, amount: int) -> bytes:
        try:
            return self._sock.recv(amount)
        except BlockingIOError as error:
            raise TimeoutError("the store is silent") from error

    def _read_head(self) -> bytes:
        data = self._receive(READ_AHEAD)
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = self._receive(READ_AHEAD)
            if not more or len(data) > MAX_HEAD:
                raise ConnectionBroken("the connection ended within the head of an answer")
            data += more
        self._buffer = data[end + 4 :]
        return data[:end]


@dataclass(frozen=True)
class HttpConnectionPool:
    """Where to connect, with time-outs in seconds, and the connections that are kept."""

    scheme: str
    host: str
    port: int
    connect_timeout: float
    read_timeout: float
    ca_bundle: str
    pool: IdleSockets

    def take(self) -> Connection | None:
        """A kept connection; its other side may end it at any moment."""
        sock = self.pool.take()
        return Connection(sock, self.pool.put) if sock else None

    def connect(self) -> Connection:
        """A new connection; OSError or urllib3's HTTPError when there is none to be had."""
        return Connection(self._open(), self.pool.put)

    def _open(self) -> socket.socket:
        connection = self._make()
        connection.connect()
        sock = connection.sock
        _set_timeout(sock, self.read_timeout)
        # The connection object would close the socket with itself.
        connection.sock = None
        return sock

    def _make(self) -> HTTPConnection:
        if self.scheme == "https":
            return HTTPSConnection(
                self.host, self.port, timeout=self.connect_timeout, ca_certs=self.ca_bundle
            )
        return HTTPConnection(self.host, self.port, timeout=self.connect_timeout)


class IdleSockets:
    """Kept connections, the one used last first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []

    def take(self) -> socket.socket | None:
        """A connection on which nothing has come meanwhile, neither bytes nor its end."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                sock = self._idle.pop()
            if _is_silent(sock):
                return sock
            sock.close()

    def put(self, sock: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < self._size:
                self._idle.append(sock)
                return
        sock.close()


def _set_timeout(sock: socket.socket, seconds: float) -> None:
    """Let the kernel keep the time, which spares a poll before each call; TLS cannot do with that."""
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(seconds)
        return
    sock.settimeout(None)
    timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, timeval)


def _is_silent(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def make_request(host: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a GET; raises ValueError for what could not stand in its head."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
        raise ValueError("a line break within a line of a request")
    return f"{text}\r\n\r\n".encode("latin-1")


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer's head; ConnectionBroken when it is none, or has two lengths."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
        raise ConnectionBroken("the answer is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or (headers.setdefault(name, value) != value and name == "content-length"):
            raise ConnectionBroken("a header of the answer cannot be read")
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    return int(rest[:3]), headers
