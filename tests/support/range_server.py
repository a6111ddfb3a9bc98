"""A static file server as RFC 9110 and the Fetch standard demand it; a test may change its answers."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from werkzeug.http import parse_date, parse_etags

from tests.support.static_image import IMMUTABLE, QuietServer, StaticImage

PRIVATE = "private, max-age=3600, no-transform"
MODIFIED = parse_date("Sat, 28 Nov 2026 10:00:00 GMT")
assert MODIFIED is not None
EXPOSED = "accept-ranges, content-range, content-length, content-encoding, etag, last-modified"
_EMPTY = (204, 304)


@dataclass(frozen=True)
class Request:
    """A request; the path has no query, the headers have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, **changes: str | None) -> Request:
        """Return a copy with changed headers; None leaves one out, `_` stands for `-`."""
        changed = {**self.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return replace(self, headers={name: value for name, value in changed.items() if value is not None})


@dataclass(frozen=True)
class Response:
    """A response. It is sent as it is, the body also where HTTP allows none or Content-Length differs.

    With `Transfer-Encoding: chunked` the body is encoded. With neither this nor Content-Length, the
    connection is closed at its end.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, **changes: str | None) -> Response:
        """Return a copy with changed headers; None leaves one out, `_` stands for `-`."""
        headers = dict(self.headers)
        for name, value in changes.items():
            title = name.replace("_", "-").title().replace("Etag", "ETag")
            headers.pop(title, None)
            if value is not None:
                headers[title] = value
        return replace(self, headers=headers)

    def with_body(self, body: bytes) -> Response:
        """Return a copy with this body and its length."""
        return replace(self, body=body).with_headers(content_length=str(len(body)))


Respond = Callable[[Request], Response]
Change = Callable[[Request, Respond], Response]


@dataclass
class RangeServer:
    """The server.

    Attributes:
        image: The files by their paths.
        token: The bearer token that a request needs, None for none.
        origin: The only origin whose pages may read, with credentials; None for all, without.
        change: Answers in place of the right server, which it is given.
        asked: All requests, in order.
    """

    image: StaticImage
    token: str | None = None
    origin: str | None = None
    change: Change = lambda request, right: right(request)
    asked: list[Request] = field(default_factory=list)
    base: str = ""

    def url(self, name: str = "disk.img") -> str:
        return f"{self.base}/{name}"

    def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return self.change(request, self.right)

    def right(self, request: Request) -> Response:
        """Answer as the standards demand."""
        cors = self._cors(request)
        if request.method == "OPTIONS":
            return Response(204, {**cors, **_preflight(request)})
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            return _error(401, cors, {"WWW-Authenticate": "Bearer"})
        data = self.image.files.get(request.path.removeprefix("/"))
        if data is None:
            return _error(404, cors)
        own = self.image.headers.get(request.path.removeprefix("/"), {})
        mime = "application/json" if request.path.endswith(".json") else "application/octet-stream"
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": IMMUTABLE if self.token is None else PRIVATE,
            "Content-Type": mime,
            "Cross-Origin-Resource-Policy": "cross-origin",
            "ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"',
            "Last-Modified": format_datetime(MODIFIED, usegmt=True),
            "X-Content-Type-Options": "nosniff",
            **own,
            **cors,
        }
        response = _read(request, headers, data)
        # RFC 9110, section 9.3.2: the headers of a GET, Content-Length included, and no body.
        return replace(response, body=b"") if request.method == "HEAD" else response

    def _cors(self, request: Request) -> dict[str, str]:
        exposed = {"Access-Control-Expose-Headers": EXPOSED}
        if self.origin is None:
            return {"Access-Control-Allow-Origin": "*", **exposed}
        if request.headers.get("origin") != self.origin:
            return {"Vary": "Origin"}
        allowed = {"Access-Control-Allow-Origin": self.origin, "Access-Control-Allow-Credentials": "true"}
        return {"Vary": "Origin", **allowed, **exposed}


def _preflight(request: Request) -> dict[str, str]:
    return {
        "Access-Control-Allow-Methods": "GET, HEAD",
        "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", "range"),
        "Access-Control-Max-Age": "86400",
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


def _error(status: int, *headers: Mapping[str, str]) -> Response:
    together = {name: value for some in headers for name, value in some.items()}
    return Response(status, {"Content-Length": "0", "Cache-Control": "no-store", **together})


def _read(request: Request, headers: Mapping[str, str], data: bytes) -> Response:
    """Evaluate preconditions and Range in the order of RFC 9110, section 13.2.2."""
    given, etag = request.headers, headers["ETag"]
    whole = Response(200, {**headers, "Content-Length": str(len(data))}, data)
    if "if-match" in given:
        if not _is_in(etag, given["if-match"], weakly=False):
            return _error(412, headers)
    elif "if-unmodified-since" in given and not _unchanged_since(given["if-unmodified-since"], default=True):
        return _error(412, headers)
    if "if-none-match" in given:
        if _is_in(etag, given["if-none-match"], weakly=True):
            return Response(304, headers)
    elif "if-modified-since" in given and _unchanged_since(given["if-modified-since"], default=False):
        return Response(304, headers)
    if request.method != "GET" or "range" not in given or not _range_holds(given, etag):
        return whole
    wanted = _bounds(given["range"], len(data))
    if wanted is None:
        return Response(416, {**headers, "Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
    if wanted == "ignored":
        return whole
    first, stop = wanted
    content_range = {"Content-Range": f"bytes {first}-{stop - 1}/{len(data)}"}
    return Response(206, {**headers, **content_range}).with_body(data[first:stop])


def _is_in(etag: str, field: str, *, weakly: bool) -> bool:
    tags = parse_etags(field)
    return tags.contains_weak(etag.strip('"')) if weakly else tags.contains(etag.strip('"'))


def _unchanged_since(field: str, *, default: bool) -> bool:
    assert MODIFIED is not None
    try:
        date = parse_date(field)
    except OverflowError:
        # A year of twenty digits is no date.
        date = None
    return default if date is None else date >= MODIFIED


def _range_holds(given: Mapping[str, str], etag: str) -> bool:
    """If-Range: the strong tag, or a date that is not older (section 13.1.5)."""
    held = given.get("if-range")
    return held is None or held == etag or ('"' not in held and _unchanged_since(held, default=False))


def _bounds(field: str, size: int) -> tuple[int, int] | str | None:
    """Return the first byte and the one behind the last, "ignored" for other units, None for a 416."""
    unit, _, spec = field.partition("=")
    if unit.strip().lower() != "bytes":
        return "ignored"
    first, dash, last = spec.strip().partition("-")
    if not dash or not (first + last).isdecimal() or not (first + last).isascii():
        return None
    if not first:
        start, stop = max(size - _number(last), 0), size
    else:
        start, stop = _number(first), min(_number(last) + 1, size) if last else size
    return (start, stop) if start < stop else None


def _number(digits: str) -> int:
    """However many digits there are: Python refuses to convert more than 4,300."""
    return int(digits.lstrip("0")[:20] or "0")


@contextmanager
def serving_ranges(
    image: StaticImage, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[RangeServer]:
    """Serve files on a port of its own."""
    running = RangeServer(image)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, urlsplit(self.path).path, headers)
            self.send(request, running.respond(request))

        do_HEAD = do_OPTIONS = do_GET

        def send(self, request: Request, response: Response) -> None:
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            length, body = response.headers.get("Content-Length"), response.body
            chunked = response.headers.get("Transfer-Encoding") == "chunked"
            may_have_body = request.method != "HEAD" and response.status not in _EMPTY
            if may_have_body and not chunked and length != str(len(body)):
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if chunked and may_have_body:
                body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are in `asked`."""

    server = QuietServer((host, 0), Handler)
    if tls is not None:
        # The handshake belongs to the thread of the connection, not to the one that accepts.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    running.base = f"{'https' if tls else 'http'}://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
