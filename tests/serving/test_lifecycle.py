"""What master and workers share about a stop, and how many descriptors they ask for."""

from __future__ import annotations

import os
import resource

import pytest

from image_gateway.routes.health import STOPPING
from image_gateway.serving.lifecycle import StopFlag, raise_descriptor_limit


def test_all_processes_see_that_the_server_stops() -> None:
    flag = StopFlag()
    assert not flag.is_set()
    child = os.fork()
    if not child:
        flag.set()
        os._exit(0)
    os.waitpid(child, 0)
    assert flag.is_set()


def test_each_request_is_told_whether_the_server_stops() -> None:
    flag = StopFlag()
    app = flag.tell(lambda environ, _: [str(environ[STOPPING]).encode()])
    assert app({}, None) == [b"False"]
    flag.set()
    assert app({}, None) == [b"True"]


def test_there_are_never_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert raise_descriptor_limit(500, 2) == 500
    assert asked == []
    assert raise_descriptor_limit(1000, 2) == 1000
    assert asked == [(1000 + 256 + 8, 4096)]
    assert raise_descriptor_limit(10_000, 2) == 4096 - 256 - 8
