"""Server-Timing tells where the time of a request went, when asked for."""

from __future__ import annotations

import re

import pytest
from flask import Flask, Response

from image_gateway.observability.server_timing import Timings


def serve(timings: Timings, *, fails: bool = False) -> str | None:
    app = Flask("image_gateway")

    @app.get("/")
    def read() -> Response:
        with timings.step("access"):
            pass
        for _ in range(2):
            with timings.step("store"):
                pass
        if fails:
            with pytest.raises(ValueError, match="away"), timings.step("broken"):
                raise ValueError("away")
        return timings.tell(Response())

    return app.test_client().get("/").headers.get("Server-Timing")


def test_steps_in_their_order() -> None:
    told = serve(Timings(enabled=True))
    assert told is not None
    assert re.fullmatch(r"access;dur=\d+\.\d\d, store;dur=\d+\.\d\d", told)


def test_a_step_that_fails_took_time_as_well() -> None:
    told = serve(Timings(enabled=True), fails=True)
    assert told is not None
    assert "broken;dur=" in told


def test_nothing_is_told_unless_asked() -> None:
    assert serve(Timings(enabled=False)) is None


def test_without_a_step_there_is_no_header() -> None:
    app, timings = Flask("image_gateway"), Timings(enabled=True)
    app.add_url_rule("/", view_func=lambda: timings.tell(Response()))
    assert "Server-Timing" not in app.test_client().get("/").headers


def test_steps_belong_to_one_request() -> None:
    timings = Timings(enabled=True)
    assert [len((serve(timings) or "").split(",")) for _ in range(3)] == [2, 2, 2]
