"""Threads that share out the work and stop together."""

from __future__ import annotations

import threading

import pytest

from image_gateway.client.errors import Stopped
from image_gateway.client.transfer import for_each


def test_workers_do_everything_once() -> None:
    done: list[int] = []
    for_each(done.append, range(100), parallel=7, stop=threading.Event())
    assert sorted(done) == list(range(100))


def test_the_first_error_stops_the_others() -> None:
    stop, begun = threading.Event(), threading.Barrier(2)

    def work(item: int) -> None:
        begun.wait(10)
        if item == 0:
            raise ValueError("the cause")
        stop.wait(10)
        raise Stopped

    with pytest.raises(ValueError, match="the cause"):
        for_each(work, range(100), parallel=2, stop=stop)
