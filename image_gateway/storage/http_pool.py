"""A keep-alive connection pool for GET and PUT requests: the subset of HTTP/1.1 for bodies of known length.

urllib3 connects and handles TLS. Requests and responses are handled here, because http.client parses headers
with the email package, which takes four times as much CPU time as the rest of a small ranged read (ADR 15).
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from urllib3.connection import HTTPConnection, HTTPSConnection

from image_gateway.observability.metrics import POOL_CONNECTIONS

MAX_HEAD = 64 * 1024
READ_AHEAD = 64 * 1024


class ConnectionBroken(OSError):
    """The connection was closed, or the response is not HTTP/1.1 with a length."""


class Connection:
    """One connection; bytes received after the response headers are buffered as the start of the body."""

    def __init__(self, sock: socket.socket, release: Callable[[socket.socket], None]) -> None:
        self._sock = sock
        self._release = release
        self._buffer = b""
        self._is_counted = True
        POOL_CONNECTIONS.inc()

    def send_request(self, request: bytes) -> tuple[int, dict[str, str]]:
        """Send a request and return the response's status and headers, with lower-case names."""
        try:
            self._sock.sendall(request)
        except BlockingIOError as error:
            raise TimeoutError("write timeout: the store did not accept the request") from error
        return parse_head(self._read_head())

    def read(self, amount: int) -> bytes:
        """Return up to `amount` bytes of the body; empty only if the connection was closed."""
        if self._buffer:
            data, self._buffer = self._buffer[:amount], self._buffer[amount:]
            return data
        return self._receive(amount)

    def keep(self) -> None:
        """Return the connection to the pool after its response was read; close it if extra bytes arrived."""
        if self._buffer:
            self.close()
            return
        self._decrement_count()
        self._release(self._sock)

    def close(self) -> None:
        """Close the connection. May be called repeatedly."""
        self._decrement_count()
        self._sock.close()

    def _decrement_count(self) -> None:
        if self._is_counted:
            self._is_counted = False
            POOL_CONNECTIONS.dec()

    def _receive(self, amount: int) -> bytes:
        try:
            return self._sock.recv(amount)
        except BlockingIOError as error:
            raise TimeoutError("read timeout: the store sent no data") from error

    def _read_head(self) -> bytes:
        data = self._receive(READ_AHEAD)
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = self._receive(READ_AHEAD)
            if not more or len(data) > MAX_HEAD:
                raise ConnectionBroken(
                    "the connection was closed before the end of the response headers, or they are too long"
                )
            data += more
        self._buffer = data[end + 4 :]
        return data[:end]


@dataclass(frozen=True)
class HttpConnectionPool:
    """Connects to one host and keeps idle connections; timeouts in seconds."""

    scheme: str
    host: str
    port: int
    connect_timeout: float
    read_timeout: float
    ca_bundle: str
    pool: IdleSockets

    def take(self) -> Connection | None:
        """Return an idle connection or None; the peer may close it at any moment."""
        sock = self.pool.take()
        return Connection(sock, self.pool.put) if sock else None

    def connect(self) -> Connection:
        """Open a new connection. Raises OSError or urllib3's HTTPError."""
        return Connection(self._open(), self.pool.put)

    def _open(self) -> socket.socket:
        connection = self._create_connection()
        connection.connect()
        sock = connection.sock
        _set_timeout(sock, self.read_timeout)
        # Otherwise the connection object would close the socket when it is garbage-collected.
        connection.sock = None
        return sock

    def _create_connection(self) -> HTTPConnection:
        if self.scheme == "https":
            return HTTPSConnection(
                self.host, self.port, timeout=self.connect_timeout, ca_certs=self.ca_bundle
            )
        return HTTPConnection(self.host, self.port, timeout=self.connect_timeout)


class IdleSockets:
    """Idle sockets; the most recently used is reused first. They are closed with the pool."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        weakref.finalize(self, _close_all, self._idle)

    def take(self) -> socket.socket | None:
        """Return a socket that has received neither data nor EOF while idle, or None."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                sock = self._idle.pop()
            if _has_no_input(sock):
                return sock
            sock.close()

    def put(self, sock: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < self._size:
                self._idle.append(sock)
                return
        sock.close()


def _close_all(sockets: list[socket.socket]) -> None:
    while sockets:
        sockets.pop().close()


def _set_timeout(sock: socket.socket, seconds: float) -> None:
    """Set kernel timeouts, which avoid a poll before each call; TLS sockets need Python's timeout."""
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(seconds)
        return
    sock.settimeout(None)
    timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, timeval)


def _has_no_input(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def make_request(host: str, target: str, headers: Mapping[str, str], method: str = "GET") -> bytes:
    """Return a request without its body. Raises ValueError for line breaks in the target or a header."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
        raise ValueError("line break in a request target or header")
    return f"{text}\r\n\r\n".encode("latin-1")


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Return status and headers of a response.

    Raises:
        ConnectionBroken: The response is not HTTP/1.1, or has an invalid header or two lengths.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
        raise ConnectionBroken("the response is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or (headers.setdefault(name, value) != value and name == "content-length"):
            raise ConnectionBroken("the response has an invalid header")
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    return int(rest[:3]), headers
