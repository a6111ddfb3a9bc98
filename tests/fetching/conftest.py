from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from image_gateway.fetching import resolution
from image_gateway.fetching.public_addresses import is_public
from tests.fetching.source_server import SourceServer, running


@pytest.fixture
def source() -> Iterator[SourceServer]:
    with running() as server:
        yield server


@pytest.fixture
def public_source(monkeypatch: pytest.MonkeyPatch) -> Iterator[SourceServer]:
    """A server whose address counts as public; all others are judged as ever."""
    address = "127.0.0.3"
    monkeypatch.setattr(resolution, "is_public", lambda text: text == address or is_public(text))
    with running(address=address) as server:
        yield server


@pytest.fixture(autouse=True)
def no_watchdog_is_left() -> Iterator[None]:
    """Every connection that a test opened was closed."""
    yield
    for thread in threading.enumerate():
        if thread.name == "fetch-watchdog":
            thread.join(5)
            assert not thread.is_alive()
