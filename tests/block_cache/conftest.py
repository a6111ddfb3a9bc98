from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from image_gateway.block_cache import block_files as block_files


class Clock:
    """The wall clock; a minute and a second pass at every look, so that every use counts."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        self.now += 61
        return self.now

    def time_ns(self) -> int:
        return round(self.time() * 1e9)


@pytest.fixture
def every_use_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(block_files, "time", SimpleNamespace(time=clock.time, time_ns=clock.time_ns))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"
