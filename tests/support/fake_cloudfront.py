"""A distribution in this process that serves objects of a store, as the template makes it, or with one fault.

It verifies signatures by tests/cdn/edge.py, and answers as CloudFront's documentation says.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from image_gateway.doctor.http_probe import Probed, send_request
from image_gateway.routes.http.cors import EXPOSED
from tests.cdn.edge import Edge

DOMAIN = "d1.cloudfront.net"
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class FakeCloudFront:
    """The distribution.

    Attributes:
        read: Returns an object by its key, or None.
        keys: The public keys of the key group.
        now: Seconds since the epoch, by which signatures expire.
        fault: What is wrong: a name in tests/doctor/test_cloudfront.py.
    """

    read: Callable[[str], bytes | None]
    keys: list[Edge]
    now: Callable[[], float]
    origins: tuple[str, ...] = ("https://app.example.com",)
    fault: str = ""
    asked: list[str] = field(default_factory=list)
    cached: set[str] = field(default_factory=set)
    port: int = 0

    def send(self, method: str, url: str, headers: Mapping[str, str]) -> Probed:
        """Send a request for the distribution's name to this server."""
        return send_request(
            method, url.replace(f"https://{DOMAIN}", f"http://127.0.0.1:{self.port}"), headers
        )

    def reply(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:
        path, _, query = target.partition("?")
        self.asked.append(f"{method} {path}")
        if method == "OPTIONS":
            return self._preflight(f"https://{DOMAIN}{path}", query, headers)
        public = path.startswith("/public/") and self.fault != "no public path"
        refusal = None if public else self._refusal(f"https://{DOMAIN}{path}", query, headers)
        if refusal:
            return self._error(403, refusal)
        data = self.read(path.lstrip("/"))
        return self._error(403, "AccessDenied") if data is None else self._serve(path, data, headers)

    def _refusal(self, url: str, query: str, headers: Mapping[str, str]) -> str | None:
        cookies = {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
        if self.fault == "cookies are ignored":
            cookies = {}
        if not query and "CloudFront-Policy" not in cookies:
            return None if self.fault == "open" else "MissingKey"
        if self.fault == "any signature":
            return None
        now = 0.0 if self.fault == "expiry is ignored" else self.now()
        admits = any(
            key.admits_url(f"{url}?{query}", now) if query else key.admits_cookies(url, cookies, now)
            for key in self.keys
        )
        return None if admits else "AccessDenied"

    def _serve(self, path: str, data: bytes, headers: Mapping[str, str]) -> Reply:
        given = {
            "Content-Type": "application/json",
            "Content-Encoding": "identity",
            "X-Cache": "Hit from cloudfront" if path in self.cached else "Miss from cloudfront",
            **self._policy_headers(headers.get("origin")),
        }
        if self.fault != "no cache":
            self.cached.add(path)
        if self.fault == "compresses" and "gzip" in headers.get("accept-encoding", ""):
            return 200, {**given, "Content-Encoding": "gzip"}, gzip.compress(data)
        if "range" not in headers or self.fault == "range is dropped":
            return 200, given, data
        first, _, last = headers["range"].removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        if self.fault == "range is short":
            stop -= 1
        given["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return 206, given, data[start:stop]

    def _policy_headers(self, origin: str | None) -> dict[str, str]:
        headers = {"Cross-Origin-Resource-Policy": "same-site", "X-Content-Type-Options": "nosniff"}
        if self.fault == "no security headers":
            headers = {}
        if origin is None or self.fault == "no CORS":
            return headers
        exposed = "etag" if self.fault == "exposes little" else EXPOSED
        allowed = "*" if self.origins == ("*",) else origin
        with_credentials = {"Access-Control-Allow-Credentials": "true"} if allowed != "*" else {}
        return {
            **headers,
            **with_credentials,
            "Access-Control-Allow-Origin": allowed,
            "Access-Control-Expose-Headers": exposed,
        }

    def _preflight(self, url: str, query: str, headers: Mapping[str, str]) -> Reply:
        refusal = self._refusal(url, query, headers) if self.fault == "preflights need a signature" else None
        if refusal:
            return self._error(403, refusal)
        if self.fault == "no preflights":
            return self._error(403, "AccessForbidden")
        return 204, {
            "Access-Control-Allow-Origin": "*" if self.origins == ("*",) else headers["origin"],
            "Access-Control-Allow-Headers": headers["access-control-request-headers"],
        }, b""  # fmt: skip

    def _error(self, status: int, code: str) -> Reply:
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message></Error>'
        return status, {"Content-Type": "text/xml", "X-Cache": "Error from cloudfront"}, body.encode()


@contextmanager
def serving(distribution: FakeCloudFront) -> Iterator[FakeCloudFront]:
    """Let the distribution answer on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            assert not urlsplit(self.path).netloc
            status, given, body = distribution.reply(self.command, self.path, headers)
            self.send_response(status)
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_OPTIONS = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    distribution.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield distribution
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
