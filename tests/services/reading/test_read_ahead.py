"""The block cache is filled ahead of readers that follow a trace: bounded, once, and never in their way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.errors import StoreUnavailable
from image_gateway.observability.metrics import READ_AHEAD_DROPS, READ_AHEAD_FILLS, READ_AHEAD_USES
from image_gateway.protocol.boot_trace import BLOCK_SIZE, BootTrace, trace_reads
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.reading import read_ahead
from image_gateway.services.reading.cached_body import BlockCacheReader, CachedObject
from image_gateway.services.reading.read_ahead import ReadAhead
from image_gateway.storage.object_reads import Pin
from tests.support.clock import Clock
from tests.support.records import IMAGE_ID

VERSION, BLOCKS, SECONDS = "f" * 16, 200, 20
SIZE = BLOCKS * BLOCK_SIZE
# A boot reads backwards.
ORDER = list(range(BLOCKS - 1, -1, -1))
TRACE = trace_reads((block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE) for block in ORDER)
SOURCE = CachedObject("disk.img", SIZE, Pin(etag='"e"'), 'disk.img "e"', IMAGE_ID)


class Store:
    """Answers reads of blocks; `hold` keeps them waiting, `error` lets them fail."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.error: Exception | None = None
        self.hold = False
        self._changed = threading.Condition()

    def open(self, key: str, *, byte_range: ByteRange, pin: Pin) -> Any:
        assert (key, pin) == (SOURCE.key, SOURCE.pin)
        block = byte_range.start // BLOCK_SIZE
        with self._changed:
            self.reads.append(block)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: not self.hold, SECONDS)
            if self.error is not None:
                raise self.error
        return SimpleNamespace(body=SimpleNamespace(read_all=lambda: bytes([block]) * byte_range.length))

    def release(self) -> None:
        with self._changed:
            self.hold = False
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Wait until so many reads have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.reads) >= number, SECONDS), self.reads


class Counts:
    """What the metrics counted since this was made."""

    def __init__(self) -> None:
        self._before = self._now()

    def since(self) -> tuple[int, int, int]:
        """Fills, uses, drops."""
        fills, uses, drops = (now - then for now, then in zip(self._now(), self._before, strict=True))
        return fills, uses, drops

    def _now(self) -> list[int]:
        counters = (READ_AHEAD_FILLS, READ_AHEAD_USES, READ_AHEAD_DROPS)
        return [int(counter.collect()[0].samples[0].value) for counter in counters]


class Scene:
    """A reader of an image whose trace is known, or not."""

    def __init__(self, folder: Path, trace: BootTrace | None = TRACE, blocks_ahead: int = 4) -> None:
        self.store, self.clock, self.looked_up = Store(), Clock(), threading.Semaphore(0)
        self.trace: BootTrace | Exception | None = trace
        self.cache = BlockCache(folder, 100 * SIZE, BLOCK_SIZE)
        self.cached = BlockCacheReader(self.store, self.cache)  # type: ignore[arg-type]
        self.ahead = ReadAhead(self.cached, self._find, blocks_ahead * BLOCK_SIZE, self.clock)

    def _find(self, image_id: str, version: str) -> BootTrace | None:
        assert (image_id, version) == (IMAGE_ID, VERSION)
        self.looked_up.release()
        if isinstance(self.trace, Exception):
            raise self.trace
        return self.trace

    def note(self, *positions: int) -> None:
        for position in positions:
            start = ORDER[position] * BLOCK_SIZE
            self.ahead.note(SOURCE, VERSION, ByteRange(start, start + 100))

    def look_up(self) -> None:
        """A first read; wait until the trace is known."""
        self.note(0)
        assert self.looked_up.acquire(timeout=SECONDS)
        self.settle()

    def settle(self) -> None:
        """Wait until all that was queued until now is done: each thread takes one of these jobs."""
        barrier = threading.Barrier(read_ahead.THREADS + 1)
        for _ in range(read_ahead.THREADS):
            self.ahead._jobs.put(lambda: (barrier.wait(SECONDS), None)[1], timeout=SECONDS)
        barrier.wait(SECONDS)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.release()
    made.ahead.close()


def blocks(*positions: int) -> list[int]:
    return [ORDER[position] for position in positions]


def test_blocks_ahead_of_a_follower_are_filled(scene: Scene) -> None:
    counts = Counts()
    scene.look_up()
    scene.note(0, 1)
    scene.settle()
    assert sorted(scene.store.reads, reverse=True) == blocks(2, 3, 4, 5)
    scene.note(2)
    scene.settle()
    assert sorted(scene.store.reads, reverse=True) == blocks(2, 3, 4, 5, 6)
    assert counts.since() == (5, 1, 0)
    block = scene.cached.block(SOURCE, ORDER[4])
    assert block is not None
    with block:
        assert block.read(0, BLOCK_SIZE) == bytes([ORDER[4]]) * BLOCK_SIZE
    assert len(scene.store.reads) == 5


def test_nothing_is_read_for_readers_that_do_not_follow(scene: Scene) -> None:
    scene.look_up()
    scene.note(0, 100, 50, 150, 199)
    scene.ahead.note(SOURCE, VERSION, ByteRange(0, SIZE))
    scene.settle()
    assert scene.store.reads == []


def test_the_end_of_a_trace_is_the_end(scene: Scene) -> None:
    scene.look_up()
    scene.note(BLOCKS - 3, BLOCKS - 2, BLOCKS - 1)
    scene.settle()
    assert set(scene.store.reads) <= {0}


@pytest.mark.parametrize("error", [None, StoreUnavailable("the database is away")])
def test_an_image_without_a_trace_is_looked_up_rarely(scene: Scene, error: Exception | None) -> None:
    scene.trace = error
    scene.look_up()
    scene.note(*range(20))
    scene.settle()
    assert not scene.looked_up.acquire(blocking=False)
    scene.clock.now += read_ahead.REMEMBER_NO_TRACE_SECONDS + 1
    scene.trace = TRACE
    scene.look_up()
    scene.note(0, 1)
    scene.settle()
    assert sorted(scene.store.reads, reverse=True) == blocks(2, 3, 4, 5)


def test_a_removed_trace_is_noticed(scene: Scene) -> None:
    scene.look_up()
    scene.trace = None
    scene.clock.now += read_ahead.REMEMBER_TRACE_SECONDS + 1
    scene.look_up()
    scene.note(0, 1, 2)
    scene.settle()
    assert scene.store.reads == []


def test_a_block_that_is_there_is_not_read_again(scene: Scene) -> None:
    for block in blocks(2, 4):
        found = scene.cached.block(SOURCE, block)
        assert found is not None
        found.close()
    scene.store.reads.clear()
    scene.look_up()
    scene.note(0, 1)
    scene.settle()
    assert sorted(scene.store.reads, reverse=True) == blocks(3, 5)


def test_a_full_queue_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MAX_QUEUED", 2)
    small = Scene(tmp_path, blocks_ahead=50)
    counts = Counts()
    small.look_up()
    small.store.hold = True
    small.note(0, 1)
    small.store.wait_for(1)
    assert counts.since()[2] == 1
    small.store.release()
    small.settle()
    # What was dropped is queued with the next read.
    done = len(small.store.reads)
    small.note(2)
    small.settle()
    assert len(small.store.reads) > done
    small.ahead.close()


def test_a_reader_that_is_faster_leaves_nothing_to_fill(scene: Scene) -> None:
    counts = Counts()
    scene.look_up()
    scene.store.hold = True
    scene.note(0, 1)
    scene.store.wait_for(2)
    scene.note(20)
    scene.store.release()
    scene.settle()
    assert set(scene.store.reads) == set(blocks(2, 3, 21, 22, 23, 24))
    assert counts.since() == (6, 0, 2)


def test_an_error_is_logged_once_and_pauses(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.look_up()
    scene.store.error = StoreUnavailable("away: https://store/?X-Amz-Signature=abc")
    with caplog.at_level(logging.WARNING):
        scene.note(0, 1)
        scene.settle()
        scene.note(2, 3, 4)
        scene.settle()
    assert len(scene.store.reads) <= read_ahead.THREADS
    assert [record.getMessage() for record in caplog.records] == ["reading ahead failed: StoreUnavailable"]
    assert "Signature" not in caplog.text
    scene.store.error = None
    scene.store.reads.clear()
    scene.clock.now += read_ahead.PAUSE_SECONDS
    scene.note(5)
    scene.settle()
    assert set(scene.store.reads) == set(blocks(9))


def test_closing_stops_the_threads_and_drops_the_queue(scene: Scene) -> None:
    scene.look_up()
    scene.store.hold = True
    scene.note(0, 1)
    scene.store.wait_for(2)
    closing = threading.Thread(target=scene.ahead.close)
    closing.start()
    assert scene.ahead._stopping.wait(SECONDS)
    scene.store.release()
    closing.join(SECONDS)
    assert not any(thread.is_alive() for thread in scene.ahead._threads)
    assert len(scene.store.reads) == 2
    scene.note(2, 3)
    assert scene.ahead._jobs.qsize() <= read_ahead.THREADS
