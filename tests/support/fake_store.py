"""A store of the tests' own that answers what it is told to, byte by byte, and remembers what was asked."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from image_gateway.storage.client import StoreAddress, StoreClients

MODIFIED = "Sun, 22 Nov 2026 00:00:00 GMT"
PATIENCE = 10


@dataclass(frozen=True)
class Asked:
    """A request as it came, header names in lower case, and the number of its connection."""

    target: str
    headers: dict[str, str]
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def slice_of(self, data: bytes) -> tuple[int, int]:
        """From where to where it asks for."""
        unit, _, given = self.headers.get("range", f"bytes=0-{len(data) - 1}").partition("=")
        first, _, last = given.partition("-")
        assert unit == "bytes"
        return int(first), min(int(last) + 1, len(data))


@dataclass(frozen=True)
class Reply:
    """The bytes of an answer, and what then becomes of the connection.

    `silence` holds it open and says nothing more, not even when it is asked again.
    """

    data: bytes
    then: Literal["keep", "close", "reset", "silence"] = "keep"


Script = Callable[[Asked], Reply]


@dataclass
class FakeStore:
    """What has been asked, and the connections that are open; `answer` may be changed at any time."""

    port: int
    answer: Script
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)
    accepted: int = 0
    _open: dict[int, socket.socket] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        with self._changed:
            return len(self._open)

    def clients(
        self,
        *,
        pool_size: int = 8,
        read_timeout: int = 5,
        credentials: tuple[str, str] | None = ("key", "secret"),
    ) -> StoreClients:
        """Clients of this store."""
        address = StoreAddress(
            "images",
            "us-east-1",
            self.url,
            path_style=True,
            pool_size=pool_size,
            connect_timeout=5,
            read_timeout=read_timeout,
            credentials=credentials,
        )
        return StoreClients(address)

    def hang_up(self) -> None:
        """End all connections from this side, and return when the ends have been sent."""
        with self._changed:
            for sock in self._open.values():
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self.wait_until(lambda: not self._open)

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait for something that connections or requests bring about."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds)

    def note(self, asked: Asked) -> None:
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()

    def entered(self, sock: socket.socket) -> int:
        with self._changed:
            self.accepted += 1
            self._open[self.accepted] = sock
            self._changed.notify_all()
            return self.accepted

    def replaced(self, number: int, sock: socket.socket) -> None:
        """The connection is another socket from now on, as TLS makes it."""
        with self._changed:
            self._open[number] = sock

    def left(self, number: int) -> None:
        with self._changed:
            del self._open[number]
            self._changed.notify_all()


@contextmanager
def running_store(answer: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[FakeStore]:
    """A store on a port of its own; all its connections end with it."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        store = FakeStore(server.getsockname()[1], answer, "https" if tls else "http")
        accepting = threading.Thread(target=_accept, args=(server, store, tls), daemon=True)
        accepting.start()
        try:
            yield store
        finally:
            # Unlike close, it wakes up who waits in accept.
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            store.hang_up()


def _accept(server: socket.socket, store: FakeStore, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            sock, _ = server.accept()
            number = store.entered(sock)
            threading.Thread(target=_connected, args=(store, number, sock, tls), daemon=True).start()


def _connected(store: FakeStore, number: int, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
    try:
        with suppress(OSError):
            if tls is None:
                _serve(store, number, sock)
            else:
                with tls.wrap_socket(sock, server_side=True) as wrapped:
                    store.replaced(number, wrapped)
                    _serve(store, number, wrapped)
    finally:
        sock.close()
        store.left(number)


def _serve(store: FakeStore, number: int, sock: socket.socket) -> None:
    reader = sock.makefile("rb")
    with reader:
        while (asked := _read_request(reader.readline, number)) is not None:
            store.note(asked)
            reply = store.answer(asked)
            sock.sendall(reply.data)
            if reply.then == "silence":
                while reader.read(1):
                    pass
            if reply.then == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if reply.then != "keep":
                return


def _read_request(readline: Callable[[], bytes], number: int) -> Asked | None:
    first = readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while line := readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Asked(first[1], headers, number)


def render(status: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """An answer's bytes with exactly these headers."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def object_answer(asked: Asked, data: bytes, etag: str = '"e"', **changes: str | None) -> bytes:
    """What a good store answers a read of an object; `changes` set or (None) leave out headers."""
    start, stop = asked.slice_of(data)
    ranged = "range" in asked.headers
    headers: dict[str, str | None] = {
        "Content-Length": str(stop - start),
        "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}" if ranged else None,
        "ETag": etag,
        "Last-Modified": MODIFIED,
    }
    headers |= {name.replace("_", "-").title().replace("Etag", "ETag"): changes[name] for name in changes}
    given = {name: value for name, value in headers.items() if value is not None}
    return render("206 Partial Content" if ranged else "200 OK", given, data[start:stop])


def error_answer(status: int, code: str | None) -> bytes:
    """An S3 error, or one without a code."""
    inner = f"<Code>{code}</Code><Message>no</Message>" if code else ""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error>{inner}</Error>'.encode()
    headers = {"Content-Type": "application/xml", "Content-Length": str(len(body))}
    return render(f"{status} Whatever", headers, body)


def in_turn(*scripts: Script) -> Script:
    """Answer the first request by the first script and so on, and all others by the last."""
    lock, left = threading.Lock(), list(scripts)

    def answer(asked: Asked) -> Reply:
        with lock:
            script = left.pop(0) if len(left) > 1 else left[0]
        return script(asked)

    return answer


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Poll for what nothing tells of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)
