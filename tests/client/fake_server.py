"""HTTP around the fake gateway."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.client.fake import RESET, SIGNATURE, FakeGateway, FaultyRoutes

POLL_SECONDS = 0.02
_ROUTES = (
    ("POST", r"/v1/images()", "create"),
    ("POST", r"/v1/images/([^/]+)/upload-urls", "urls"),
    ("GET", r"/v1/images/([^/]+)/upload", "status"),
    ("DELETE", r"/v1/images/([^/]+)/upload", "abort"),
    ("POST", r"/v1/images/([^/]+)/complete", "complete"),
    ("GET", r"/v1/images/([^/]+)", "image"),
    ("PATCH", r"/v1/images/([^/]+)", "change"),
    ("DELETE", r"/v1/images/([^/]+)", "delete"),
    ("POST", r"/v1/images/([^/]+)/shares", "add_share"),
    ("GET", r"/v1/images/([^/]+)/shares", "list_shares"),
    ("DELETE", r"/v1/images/([^/]+)/shares", "remove_share"),
    ("POST", r"/v1/images/([^/]+)/share-links", "make_link"),
    ("GET", r"/v1/images/([^/]+)/share-links", "list_links"),
    ("DELETE", r"/v1/images/([^/]+)/share-links/([^/]+)", "revoke_link"),
    ("POST", r"/v1/share-links/redeem()", "redeem"),
    ("POST", r"/v1/leases()/([^/]+)/renew", "renew"),
)


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers requests of a fake, some of which fail."""

    protocol_version = "HTTP/1.1"
    fake: FaultyRoutes

    def _fail(self, route: str) -> bool:
        fault = self.fake.next_fault(route)
        if fault is None:
            return False
        self.close_connection = True
        if fault.status == RESET:
            # Zero seconds of lingering make the close a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)) if self.command == "PUT" else 0)
            self._reply(int(fault.status), {"Connection": "close", **fault.headers}, fault.body)
        return True

    def _reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news."""


@contextmanager
def serving(handler: type[FaultyHandler], fake: FaultyRoutes) -> Iterator[None]:
    """Answer the requests of a fake, whose URL is set, while the block runs."""
    bound = type("Handler", (handler,), {"fake": fake})
    with _Server(("127.0.0.1", 0), bound) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        yield
        server.shutdown()


class _Handler(FaultyHandler):
    fake: FakeGateway

    def do_POST(self) -> None:
        self._route()

    do_DELETE = do_PATCH = do_POST

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if self._refuse():
            return
        if path.path == "/v1/images":
            self._fail("page") or self._answer(self.fake.page(dict(_flat(path.query))))
        elif match := re.fullmatch(r"/v1/images/([^/]+)/range", path.path):
            self._fail("range") or self._range(match[1])
        else:
            self._dispatch()

    def do_HEAD(self) -> None:
        if self._refuse():
            return
        image = self.fake.images[self.path.split("/")[3]]
        if not self._fail("head"):
            self._reply(200, {"Content-Length": str(len(image.data)), "ETag": image.etag})

    def do_PUT(self) -> None:
        self._note()
        path = urlsplit(self.path)
        _, _, image_id, number = path.path.split("/")
        self.fake.on_put(int(number))
        if self._fail("put"):
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if _flat(path.query)[SIGNATURE] in self.fake.dead_signatures:
            body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            self._reply(403, {"Content-Type": "application/xml"}, body)
            return
        self._reply(200, {"ETag": self.fake.store_part(image_id, int(number), data)})

    def _route(self) -> None:
        self._refuse() or self._dispatch()

    def _note(self) -> None:
        self.fake.requests.append((self.path, dict(self.headers)))

    def _refuse(self) -> bool:
        self._note()
        refusal = self.fake.refusal(urlsplit(self.path).path, dict(self.headers))
        if refusal:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(refusal)
        return bool(refusal)

    def _dispatch(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        for method, pattern, name in _ROUTES:
            match = re.fullmatch(pattern, urlsplit(self.path).path)
            if method == self.command and match:
                if match[1] and match[1] not in self.fake.images:
                    self._answer((404, "NOT_FOUND", "no such image"))
                elif not self._fail(name):
                    ids = {"id": match[2]} if match.lastindex == 2 else {}
                    given = {**_flat(urlsplit(self.path).query), **body, **ids}
                    self._answer(getattr(self.fake, name)(match[1], given))
                return
        self._answer((404, "NOT_FOUND", "no such route"))

    def _range(self, image_id: str) -> None:
        self.fake.on_range()
        image = self.fake.images[image_id]
        if self.headers["If-Match"] != image.etag:
            self._answer((412, "PRECONDITION_FAILED", "another version"))
            return
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        headers = {"ETag": image.etag, "Content-Range": f"bytes {first}-{last}/{len(image.data)}"}
        self._reply(206, headers, image.data[first : last + 1])

    def _answer(self, answer: Any) -> None:
        status, document = 200, answer
        if isinstance(answer, tuple):
            status, code, message = answer
            document = {"error": {"code": code, "message": message}}
        self._reply(status, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.fake.now, usegmt=True)


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


@contextmanager
def running_fake() -> Iterator[FakeGateway]:
    fake = FakeGateway()
    with serving(_Handler, fake):
        yield fake
