"""A chunked image as files, and a loopback server that serves them with headers that a test may spoil."""

from __future__ import annotations

import hashlib
import json
import random
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1024
SIZE = 4 * CHUNK + 512
DATA = random.Random(5).randbytes(SIZE)
IMMUTABLE = "public, max-age=31536000, immutable, no-transform"
IMAGE_ID = "6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10"
# Status, headers and body of an answer, given the path and the request's headers.
Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[str, dict[str, str]], Answer | None]


def make_manifest(data: bytes = DATA, chunk: int = CHUNK, **changes: Any) -> dict[str, Any]:
    """A manifest as it should be, apart from `changes`; None leaves a field out."""
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    document = {
        "schema": "aero.chunked-disk-image.v1",
        "imageId": IMAGE_ID,
        "version": f"sha256-{hashlib.sha256(data).hexdigest()}",
        "mimeType": "application/octet-stream",
        "totalSize": len(data),
        "chunkSize": chunk,
        "chunkCount": len(pieces),
        "chunkIndexWidth": 8,
        "chunks": [{"size": len(piece), "sha256": hashlib.sha256(piece).hexdigest()} for piece in pieces],
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


@dataclass
class StaticImage:
    """The files of an image by name, and their headers."""

    files: dict[str, bytes]
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def change_manifest(self, **changes: Any) -> None:
        self.files["manifest.json"] = json.dumps(make_manifest(**changes)).encode()

    def flip(self, name: str, offset: int = 100) -> None:
        """Change one byte of a file."""
        data = bytearray(self.files[name])
        data[offset] ^= 1
        self.files[name] = bytes(data)

    def set_header(self, name: str, header: str, value: str) -> None:
        """Let a file be served with this header."""
        self.headers.setdefault(name, {})[header] = value

    def write_to(self, folder: Path) -> Path:
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder


def make_image(data: bytes = DATA, chunk: int = CHUNK) -> StaticImage:
    """An image in which nothing is wrong."""
    files = {
        f"chunks/{number:08d}.bin": data[start : start + chunk]
        for number, start in enumerate(range(0, len(data), chunk))
    }
    manifest = json.dumps(make_manifest(data, chunk)).encode()
    return StaticImage({"manifest.json": manifest, "disk.img": data, **files})


@dataclass
class StaticServer:
    """The server: what it was asked, and a script that may answer instead of the files."""

    image: StaticImage
    port: int = 0
    script: Script = lambda _path, _headers: None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/image/v1"

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        self.asked.append((path, headers))
        scripted = self.script(path, headers)
        if scripted is not None:
            return scripted
        name = urlsplit(path).path.removeprefix("/image/v1/")
        data = self.image.files.get(name)
        if data is None:
            return 404, {}, b"no such file"
        mime = "application/json" if name.endswith(".json") else "application/octet-stream"
        given = {"Content-Type": mime, "Cache-Control": IMMUTABLE, **self.image.headers.get(name, {})}
        if "range" not in headers:
            return 200, given, data
        first, _, last = headers["range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(data):
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
        start, stop = int(first), min(int(last) + 1, len(data))
        return 206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", **given}, data[start:stop]


class QuietServer(ThreadingHTTPServer):
    """A server of threads whose readers may close their connections at any time."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is not the end of a connection."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


@contextmanager
def serving(image: StaticImage) -> Iterator[StaticServer]:
    """Serve an image on a port of its own."""
    static = StaticServer(image)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, given, body = static.answer(self.path, headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **given}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body)
            if int(given.get("Content-Length", len(body))) != len(body):
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are in `asked`."""

    server = QuietServer(("127.0.0.1", 0), Handler)
    static.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield static
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
