"""One line for each request, when its body has ended, on whichever way; and the id that joins lines."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from flask import Flask, Response
from structlog.contextvars import clear_contextvars, get_contextvars
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder

from image_gateway.observability.request_log import install_request_log, note
from image_gateway.routes.http.responses import BytesResponse
from tests.support.log_lines import Lines, written_lines
from tests.support.world import World

TOKEN = "igl~k1~c2VjcmV0LXNlY3JldA~c2VjcmV0LXNlY3JldA"
IMAGE_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def lines() -> Iterator[Lines]:
    with written_lines() as lines:
        yield lines


class Body:
    """Three blocks of ten bytes, the third of which may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.closed = 0
        self._blocks = iter([b"x" * 10, b"x" * 10, failure or b"x" * 10])

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        block = next(self._blocks)
        if isinstance(block, Exception):
            raise block
        return block

    def close(self) -> None:
        self.closed += 1
        logging.getLogger("image_gateway.test").info("closed")


def make_app(body: Any) -> Flask:
    app = Flask("image_gateway")
    install_request_log(app)

    @app.get("/v1/images/<image_id>/range")
    def read(image_id: str) -> Response:
        note(user="alice", lease=None)
        return BytesResponse(body, 200, {"Content-Length": "30"}, direct_passthrough=True)

    @app.get("/exit")
    def leave() -> Response:
        raise SystemExit(1)

    return app


def call(app: Flask, path: str = f"/v1/images/{IMAGE_ID}/range", **extra: Any) -> Any:
    """The body that a server would get."""
    environ = {**EnvironBuilder(path).get_environ(), "REMOTE_ADDR": "192.0.2.1", **extra}
    return app.wsgi_app(environ, lambda *_: lambda _: None)


def test_json(world: World, lines: Lines) -> None:
    response = world.request("POST", "/v1/images", headers={"X-Request-Id": "my-request-1"})
    (line,) = lines.requests()
    assert line.pop("duration_ms") > 0
    assert (line.pop("time")[-1], line.pop("pid") > 1) == ("Z", True)
    assert line == {
        "level": "info",
        "logger": "image_gateway.request",
        "event": "request",
        "request_id": "my-request-1",
        "method": "POST",
        "route": "/v1/images",
        "status": response.status_code,
        "bytes": len(response.data),
        "complete": True,
        "address": "127.0.0.1",
        "action": "uploads.create",
        "user": "alice",
    }


@pytest.mark.parametrize(
    ("method", "headers", "status", "sent"),
    [
        ("GET", {}, 200, 600_000),
        ("GET", {"Range": "bytes=0-299999"}, 206, 300_000),
        ("HEAD", {}, 200, 0),
        ("GET", {"If-None-Match": "*"}, 304, 0),
        ("GET", {"Range": "bytes=600000-"}, 416, 0),
    ],
)
def test_bodies(
    world: World, lines: Lines, method: str, headers: dict[str, str], status: int, sent: int
) -> None:
    image = world.make_image(bytes(600_000))
    with world.request(method, image.path("range"), headers=headers) as response:
        assert (response.status_code, len(response.data)) == (status, sent)
        assert response.headers["Referrer-Policy"] == "no-referrer"
    line = lines.requests()[-1]
    assert (line["method"], line["status"], line["bytes"], line["complete"]) == (method, status, sent, True)
    assert (line["route"], line["action"]) == ("/v1/images/<image_id>/range", "stream.read_range")
    assert line["image"] == image.image_id
    assert len([each for each in lines.requests() if each["request_id"] == line["request_id"]]) == 1


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/nothing/{TOKEN}/x?token=secret", "/nothing/igl~[masked]/x"),
        (f"/nothing/{TOKEN.replace('~', '%7E')}", "/nothing/igl~[masked]"),
        ("/" + "n" * 300, "/" + "n" * 199),
        ("/n%C3%A9%0A", "/n\u00e9\n"),
    ],
)
def test_an_unmatched_path_is_masked_and_cut(world: World, lines: Lines, path: str, shown: str) -> None:
    assert world.request("GET", path).status_code == 404
    (line,) = lines.requests()
    assert (line["route"], line["status"]) == (shown, 404)
    assert "action" not in line


def test_the_route_hides_what_the_path_holds(world: World, lines: Lines) -> None:
    world.request("GET", f"/v1/images/{TOKEN}/range?token=secret")
    assert "secret" not in lines.text()
    assert "image" not in lines.requests()[0]


def test_a_body_that_breaks(lines: Lines) -> None:
    body = Body(ConnectionResetError("the store is gone"))
    answer = call(make_app(body))
    assert next(answer) + next(answer) == b"x" * 20
    with pytest.raises(ConnectionResetError):
        next(answer)
    answer.close()
    (line,) = lines.requests()
    assert (line["bytes"], line["complete"], line["reason"]) == (20, False, "ConnectionResetError")
    assert body.closed == 1


def test_a_client_that_goes_away(lines: Lines) -> None:
    body = Body()
    answer = call(make_app(body))
    next(answer)
    assert lines.requests() == []
    try:
        raise BrokenPipeError
    except BrokenPipeError:
        answer.close()
    (line,) = lines.requests()
    assert (line["bytes"], line["complete"], line["reason"]) == (10, False, "BrokenPipeError")
    assert body.closed == 1


def test_a_body_that_nobody_reads(lines: Lines) -> None:
    call(make_app(Body())).close()
    assert (lines.requests()[0]["bytes"], lines.requests()[0]["reason"]) == (0, "closed")


def test_a_failure_that_flask_does_not_answer(lines: Lines) -> None:
    with pytest.raises(SystemExit):
        call(make_app(Body()), "/exit")
    (line,) = lines.requests()
    assert (line["level"], line["status"], line["reason"]) == ("warning", 500, "SystemExit")
    assert get_contextvars() == {}


@pytest.mark.parametrize("broken", [False, True])
def test_a_file_stays_the_servers_to_send(lines: Lines, broken: bool) -> None:
    file = io.BytesIO(bytes(30))
    wrapped = FileWrapper(file)
    answer = call(make_app(wrapped), **{"wsgi.file_wrapper": FileWrapper})
    assert answer is wrapped
    try:
        if broken:
            raise BrokenPipeError
        answer.close()
    except BrokenPipeError:
        answer.close()
    (line,) = lines.requests()
    assert (line["bytes"], line["complete"]) == ((None, False) if broken else (30, True))
    assert file.closed
    assert get_contextvars() == {}


def test_context_lasts_as_long_as_the_body_and_no_longer(lines: Lines) -> None:
    app = make_app(Body())
    answer = call(app, HTTP_X_REQUEST_ID="first-request")
    assert get_contextvars() == {"request_id": "first-request", "user": "alice"}
    list(answer)
    answer.close()
    closed = next(line for line in lines.parsed() if line["event"] == "closed")
    assert (closed["request_id"], closed["user"]) == ("first-request", "alice")
    assert get_contextvars() == {}


def test_a_body_that_was_never_closed_leaves_nothing_to_the_next_request(lines: Lines) -> None:
    app = make_app(Body())
    call(app, HTTP_X_REQUEST_ID="first-request")
    list(call(app, "/nothing", HTTP_X_REQUEST_ID="second-request"))
    assert get_contextvars() == {"request_id": "second-request"}
    assert "user" not in lines.requests()[-1]


def test_the_address_is_the_clients_behind_a_proxy(lines: Lines) -> None:
    app = make_app(Body())
    app.wsgi_app = ProxyFix(app.wsgi_app)
    list(call(app, HTTP_X_FORWARDED_FOR="198.51.100.7"))
    assert lines.requests()[0]["address"] == "198.51.100.7"


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
def test_probes_are_quiet_until_they_fail(world: World, path: str) -> None:
    with written_lines() as lines:
        world.request("GET", path, user=None)
    with written_lines(logging.DEBUG) as detailed:
        world.request("GET", path, user=None)
    assert (lines.requests(), detailed.requests()[0]["level"]) == ([], "debug")
    world.clients.requests.delete_bucket(Bucket=world.settings.s3_bucket)
    with written_lines() as failing:
        world.with_settings().request("GET", "/readyz", user=None)
    assert [line["level"] for line in failing.requests()] == ["warning"]


def test_a_surprise_is_masked_and_known_by_its_request(
    world: World, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_: str) -> None:
        raise RuntimeError(f"cannot sign https://s3/?X-Amz-Signature=abcdef with {TOKEN}")

    monkeypatch.setattr(world.catalog, "find", explode)
    path = f"/v1/images/{IMAGE_ID}/metadata"
    world.request("GET", path, headers={"X-Request-Id": "my-request-1"})
    error, request = lines.parsed()
    assert (error["level"], error["event"]) == ("error", "the request failed")
    assert error["request_id"] == request["request_id"] == "my-request-1"
    assert (
        "RuntimeError: cannot sign https://s3/?X-Amz-Signature=[masked] with igl~[masked]"
        in error["exception"]
    )
    assert (request["level"], request["status"]) == ("warning", 500)


def test_a_note_outside_a_request_is_nothing() -> None:
    clear_contextvars()
    note(user="alice")
    assert get_contextvars() == {}
