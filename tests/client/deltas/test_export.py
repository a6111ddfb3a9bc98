"""The disk of a delta while it is exported: errors, regular commits, and what is said of them."""

from __future__ import annotations

import errno
import threading

import pytest

from image_gateway.client.deltas.export import DeltaExport
from image_gateway.client.deltas.session import Fenced
from image_gateway.client.errors import ApiError, Stopped
from tests.support.memory_disk import MemoryDisk
from tests.support.waiting import wait_for


class CountedDisk(MemoryDisk):
    @property
    def generation(self) -> int:
        return 40 + self.flushes


class World:
    def __init__(self) -> None:
        self.disk, self.over = CountedDisk(8192), threading.Event()
        self.said: list[str] = []
        self.export = DeltaExport(self.disk, over=self.over, say=self.said.append)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (ApiError("no answer", status=503), errno.EIO, ["no answer"]),
        (ApiError("full", status=403, code="QUOTA_EXCEEDED"), errno.ENOSPC, ["full"]),
        (KeyError("a bug"), errno.EIO, ["KeyError: 'a bug'"]),
        (Stopped(), errno.ESHUTDOWN, []),
        (Fenced("a newer session"), errno.ESHUTDOWN, []),
    ],
)
def test_errors(error: Exception, expected: int, said: list[str], world: World) -> None:
    assert world.export.errno_of(error) == expected
    assert world.said == said


def test_a_fence_ends_the_export(world: World) -> None:
    assert not world.export.is_fenced
    world.export.errno_of(Fenced("a newer session"))
    assert world.export.is_fenced
    assert world.over.is_set()


def test_what_was_written_is_committed_without_a_flush(world: World) -> None:
    lines: list[str] = []
    with world.export.committing(0.01, report=lines.append):
        world.disk.write(0, b"x")
        wait_for(lambda: world.disk.stored[:1] == b"x", "a commit")
        wait_for(lambda: lines, "a report")
    assert lines[0] == "generation 41, 1 commits, 0 bytes not committed"


def test_a_failure_is_said_once_until_a_commit_succeeds(world: World) -> None:
    world.disk.failures["flush"] = ApiError("no answer", status=503)
    world.disk.write(0, b"x")
    with world.export.committing(0.01):
        wait_for(lambda: world.said, "the failure is said")
        for _ in range(3):
            world.export.errno_of(ApiError("no answer", status=503))
        assert world.said == ["no answer"]
        del world.disk.failures["flush"]
        wait_for(lambda: world.disk.stored[:1] == b"x", "a commit")
        world.disk.failures["flush"] = ApiError("no answer", status=503)
        world.disk.write(0, b"y")
        wait_for(lambda: len(world.said) == 2, "the failure is said again")


def test_a_fence_is_noticed_without_a_flush(world: World) -> None:
    world.disk.failures["flush"] = Fenced("a newer session")
    world.disk.write(0, b"x")
    with world.export.committing(0.01):
        assert world.over.wait(30)
