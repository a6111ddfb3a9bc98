"""Every request is counted once, by its route's template, whatever clients send."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from image_gateway.cdn.signer import CloudFrontSigner
from image_gateway.observability import metrics as requests
from image_gateway.observability.request_log import install_request_log
from image_gateway.routes.http.responses import BytesResponse
from tests.support.numbers import Numbers
from tests.support.world import World

RANGE = "/v1/images/<image_id>/range"


def test_a_read(world: World, numbers: Numbers) -> None:
    image = world.make_image(bytes(1000))
    answer = world.request("GET", image.path("range"), headers={"Range": "bytes=0-299"})
    assert (answer.status_code, len(answer.data)) == (206, 300)
    assert numbers.added("requests_total", route=RANGE, method="GET", status="206") == 1
    labels = {"route": RANGE, "method": "GET", "class": "2xx"}
    assert numbers.added("request_seconds_count", **labels) == 1
    assert 0 < numbers.added("request_seconds_sum", **labels) < 10
    assert numbers.added("first_byte_seconds_count", route=RANGE) == 1
    assert numbers.added("sent_bytes_total", route=RANGE) == 300


def test_without_a_body_there_is_no_first_byte(world: World, numbers: Numbers) -> None:
    image = world.make_image(b"x")
    assert world.request("HEAD", image.path("range")).status_code == 200
    assert numbers.added("requests_total", route=RANGE, method="HEAD", status="200") == 1
    assert numbers.added("first_byte_seconds_count", route=RANGE) == 0


def test_what_clients_choose_makes_no_series(world: World, numbers: Numbers) -> None:
    kept = len(requests._series)
    for number in range(20):
        world.request("GET", f"/nothing/{number}")
        world.request("GET", f"/v1/images/{number}/range")
        world.request(f"METHOD{number}", "/health")
    assert numbers.added("requests_total", route="unmatched", method="GET", status="404") == 20
    assert numbers.added("requests_total", route="unmatched", method="OTHER", status="405") == 20
    assert len(numbers.new("requests_total")) <= 3
    assert len(requests._series) <= kept + 3


class Slow:
    """A body that takes its time after its first block, by the clock of the request log."""

    def __init__(self, clock: list[float], failure: bool = False) -> None:
        self._clock = clock
        self._steps = iter([1.0, 4.0])
        self._failure = failure

    def __iter__(self) -> Slow:
        return self

    def __next__(self) -> bytes:
        try:
            self._clock[0] += next(self._steps)
        except StopIteration:
            if self._failure:
                raise OSError from None
            raise
        return b"12345"


def serve(body: Any, **extra: Any) -> Any:
    app = Flask("image_gateway")
    install_request_log(app)
    app.add_url_rule(
        "/slow/<x>",
        view_func=lambda x: BytesResponse(body, 200, {"Content-Length": "10"}, direct_passthrough=True),
    )
    return app.wsgi_app({**EnvironBuilder("/slow/1").get_environ(), **extra}, lambda *_: lambda _: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("image_gateway.observability.request_log.time.perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("failure", [False, True])
def test_time_is_measured_at_the_end_of_the_body(numbers: Numbers, clock: list[float], failure: bool) -> None:
    body = serve(Slow(clock, failure))
    labels = {"route": "/slow/<x>", "method": "GET", "class": "2xx"}
    assert numbers.added("request_seconds_count", **labels) == 0
    with pytest.raises(OSError) if failure else nullcontext():  # noqa: PT011  # by itself
        assert b"".join(body) == b"1234512345"
    body.close()
    assert numbers.added("request_seconds_count", **labels) == 1
    assert numbers.added("request_seconds_sum", **labels) == 5
    assert numbers.added("first_byte_seconds_sum", route="/slow/<x>") == 1
    assert numbers.added("sent_bytes_total", route="/slow/<x>") == 10


def test_a_file_that_the_server_sends_by_itself(numbers: Numbers, clock: list[float], tmp_path: Any) -> None:
    (tmp_path / "f").write_bytes(b"x" * 10)
    with (tmp_path / "f").open("rb") as file:
        body = serve(FileWrapper(file), **{"wsgi.file_wrapper": FileWrapper})
        clock[0] += 3
        body.close()
    assert numbers.added("request_seconds_sum", route="/slow/<x>", method="GET", **{"class": "2xx"}) == 3
    assert numbers.added("sent_bytes_total", route="/slow/<x>") == 10
    assert numbers.added("first_byte_seconds_sum", route="/slow/<x>") == 0


def test_signatures(numbers: Numbers) -> None:
    signer = CloudFrontSigner("K1", lambda _: b"signed", 600, lambda: 1000.0)
    for prefix in ("a", "a", "b", "a"):
        signer.sign_policy(f"https://d1.cloudfront.net/{prefix}")
    assert numbers.added("signatures_made_total") == 2
    assert numbers.added("signatures_reused_total") == 2
