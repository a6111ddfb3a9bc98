"""An HTTP server on loopback whose answers a test chooses, connection by connection."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

ETAG = '"one"'
MODIFIED = "Sat, 28 Nov 2026 10:00:00 GMT"
DATE = "Date: Sat, 28 Nov 2026 11:00:00 GMT"
# An answer: the bytes of a whole response, or a function that writes it.
Script = bytes | Callable[["SourceServer", BinaryIO], None]


class SourceServer:
    """Serves `data` with ranges; `scripts` come before, one for each request.

    `cuts` breaks connections off: each after so many bytes of its body.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.address = address
        self.data = bytes(range(256)) * 40
        self.etag: str | None = ETAG
        self.modified: str | None = None
        self.ignores_ranges = False
        self.chunked = False
        self.scripts: deque[Script] = deque()
        self.cuts: deque[int] = deque()
        self.requests: list[tuple[str, Message]] = []
        self.server_names: list[str | None] = []
        self.ended = threading.Event()
        self._http = _Server((address, 0), _Handler)
        self._http.source = self
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.server_names.append(name)
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port: int = self._http.server_address[1]
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str = "/disk.img", host: str | None = None) -> str:
        return f"{self.scheme}://{host or self.address}:{self.port}{path}"

    @property
    def ranges(self) -> list[str | None]:
        """The `Range` of each request."""
        return [headers["Range"] for _, headers in self.requests]

    def close(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, headers: Message, out: BinaryIO) -> None:
        """Send the file, or the range that was asked for."""
        wanted, size = headers["Range"], len(self.data)
        held = headers["If-Range"] in (None, self.etag or self.modified)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and held else 0
        if self.ignores_ranges:
            start = 0
        if start >= size:
            out.write(response(f"Content-Range: bytes */{size}", "Content-Length: 0", status=416))
            return
        lines = ["HTTP/1.1 206 Partial Content" if start else "HTTP/1.1 200 OK"]
        lines += [f"Content-Range: bytes {start}-{size - 1}/{size}"] if start else []
        lines += [f"ETag: {self.etag}"] if self.etag else []
        lines += [f"Last-Modified: {self.modified}"] if self.modified else []
        lines += [DATE]
        lines += ["Transfer-Encoding: chunked"] if self.chunked else [f"Content-Length: {size - start}"]
        body, cut = self.data[start:], None
        if self.cuts:
            cut = self.cuts.popleft()
            body = body[:cut]
        if self.chunked:
            blocks = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks)
            body += b"0\r\n\r\n" if cut is None else b""
        out.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    source: SourceServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that ends a connection is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        source = self.server.source
        source.requests.append((self.path, self.headers))
        self.close_connection = True
        script = source.scripts.popleft() if source.scripts else None
        if isinstance(script, bytes):
            self.wfile.write(script)
        elif script is not None:
            script(source, self.wfile)
        else:
            source.answer(self.headers, self.wfile)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def stall(head: bytes) -> Script:
    """Send something, and then nothing until the server ends."""

    def script(source: SourceServer, out: BinaryIO) -> None:
        out.write(head)
        out.flush()
        source.ended.wait(30)

    return script


def drip(head: bytes, block: bytes) -> Script:
    """Send something, and then `block` again and again, faster than any limit of a single wait."""

    def script(source: SourceServer, out: BinaryIO) -> None:
        out.write(head)
        while not source.ended.wait(0.02):
            out.write(block)
            out.flush()

    return script


def redirect(location: str, status: int = 302) -> bytes:
    """A redirect."""
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def response(*lines: str, status: int = 200, body: bytes = b"") -> bytes:
    """A response with these header lines and nothing else."""
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode() + body


@contextmanager
def running(tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> Iterator[SourceServer]:
    """A server that ends with the block."""
    server = SourceServer(tls, address)
    try:
        yield server
    finally:
        server.close()
