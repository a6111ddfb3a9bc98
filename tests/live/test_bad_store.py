"""Stores that answer badly: short, never, or not at all."""

from __future__ import annotations

import json
import socketserver
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
import urllib3

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import DiskFacts
from tests.live.conftest import StartGateway
from tests.live.support import exchange
from tests.support.records import FREE, NOW, make_record

SIZE = 1_000_000


@contextmanager
def bad_store(answer_get: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An S3 of our own that answers HEAD of the bucket, and GET as it is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            answer_get(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def image_id(database_url: str) -> str:
    engine = open_engine(database_url)
    catalog = Catalog(engine)
    record = make_record(str(uuid.uuid4()), owner="me")
    catalog.add(record, FREE)
    catalog.complete(record.image_id, "u1", DiskFacts(SIZE, '"e"', NOW, None), NOW)
    engine.dispose()
    return record.image_id


def cut_body(handler: BaseHTTPRequestHandler, sent: int = 1000) -> None:
    handler.send_response(200)
    for name, value in {
        "Content-Length": str(SIZE),
        "ETag": '"e"',
        "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(b"x" * sent)
    handler.close_connection = True


def test_a_body_that_the_store_cuts_is_cut_visibly(start: StartGateway, image_id: str) -> None:
    """The store ignores the range by which the body would go on, so nothing of that answer may be sent."""
    there = 300_000

    with bad_store(lambda handler: cut_body(handler, sent=there)) as endpoint:
        gateway = start(S3_ENDPOINT=endpoint)
        request = f"GET /v1/images/{image_id}/range HTTP/1.1\r\nHost: x\r\nX-User-Id: me\r\n\r\n"
        # No Connection: close: a body that ended normally would leave the connection open.
        head, _, body = exchange(gateway.url, request.encode()).partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert f"Content-Length: {SIZE}".encode() in head
    assert body == b"x" * there
    assert f"body broken after {there} of 1000000 bytes" in gateway.process.log.read_text()


def test_a_body_that_the_store_never_begins_is_answered_for(start: StartGateway, image_id: str) -> None:
    def no_body(handler: BaseHTTPRequestHandler) -> None:
        cut_body(handler, sent=0)

    with bad_store(no_body) as endpoint:
        gateway = start(S3_ENDPOINT=endpoint)
        with urllib3.PoolManager(retries=False) as http:
            answer = http.request(
                "GET", f"{gateway.url}/v1/images/{image_id}/range", headers={"X-User-Id": "me"}
            )
    assert (answer.status, json.loads(answer.data)["error"]["code"]) == (503, "S3_UNAVAILABLE")


def test_a_silent_store_is_given_up(start: StartGateway, image_id: str) -> None:
    released = threading.Event()
    with bad_store(lambda _: released.wait(60) and None) as endpoint:
        gateway = start(S3_ENDPOINT=endpoint, S3_READ_TIMEOUT_SECONDS="1", S3_CONNECT_TIMEOUT_SECONDS="1")
        with urllib3.PoolManager(retries=False, timeout=50) as http:
            answer = http.request(
                "GET", f"{gateway.url}/v1/images/{image_id}/range", headers={"X-User-Id": "me"}
            )
        released.set()
    assert (answer.status, json.loads(answer.data)["error"]["code"]) == (503, "S3_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "2"


def test_a_store_that_ignores_range_is_never_streamed(start: StartGateway, image_id: str) -> None:
    with bad_store(cut_body) as endpoint:
        gateway = start(S3_ENDPOINT=endpoint)
        with urllib3.PoolManager(retries=False) as http:
            headers = {"X-User-Id": "me", "Range": "bytes=0-9"}
            answer = http.request("GET", f"{gateway.url}/v1/images/{image_id}/range", headers=headers)
    assert (answer.status, json.loads(answer.data)["error"]["code"]) == (502, "S3_ERROR")


def test_a_store_that_is_gone(start: StartGateway, image_id: str) -> None:
    with bad_store(cut_body) as endpoint:
        gateway = start(S3_ENDPOINT=endpoint, S3_CONNECT_TIMEOUT_SECONDS="1")
    with urllib3.PoolManager(retries=False, timeout=50) as http:
        # Each worker remembers for a second that it was ready.
        gateway.process.wait_until(
            lambda: http.request("GET", f"{gateway.url}/readyz").status == 503, seconds=30
        )
        ready = http.request("GET", f"{gateway.url}/readyz")
        alive = http.request("GET", f"{gateway.url}/healthz")
        created = http.request("POST", f"{gateway.url}/v1/images", headers={"X-User-Id": "me"})
    assert (ready.status, json.loads(ready.data)["error"]["code"]) == (503, "S3_UNAVAILABLE")
    assert alive.status == 200
    assert (created.status, json.loads(created.data)["error"]["code"]) == (503, "S3_UNAVAILABLE")
