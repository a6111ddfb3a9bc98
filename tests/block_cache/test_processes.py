"""Many processes and threads over one folder, some of them killed."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.source import BLOCK, GIVEN, Source, bytes_in, files_of
from tests.block_cache.worker import BOUND, SIZE, in_threads

ROOT = Path(__file__).parents[2]


def start(task: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.block_cache.worker", task, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def result_of(worker: subprocess.Popen[str]) -> list[str]:
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    answer: list[str] = json.loads(output)
    return answer


def test_cold_blocks_are_filled_once_for_all(folder: Path) -> None:
    workers = [start("ask_together", folder) for _ in range(2)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [result_of(worker) for worker in workers] == [["right"] * 48] * 2
    assert sorted((folder.parent / "fills").read_text().split()) == ["0", "1", "2"]


def test_the_bound_holds_while_many_fill(folder: Path) -> None:
    workers = [start("fill_many", folder) for _ in range(2)]
    assert [result_of(worker) for worker in workers] == [[], []]
    assert 0 < bytes_in(folder) <= BOUND


def test_after_fifty_kills_every_block_is_right(folder: Path) -> None:
    assert result_of(start("die_often", folder)) == ["SIGKILL"] * 50
    assert bytes_in(folder) <= BOUND
    source = Source(SIZE, zeros=frozenset({3, 7}))
    cache = BlockCache(folder, BOUND, BLOCK)
    kept = len(files_of(folder))
    for index in range(40):
        assert source.read(cache, index) == source.expected(GIVEN, index)
        assert bytes_in(folder) <= BOUND
    assert kept > 0
    assert not (folder / "v1" / "incoming").exists()


def test_a_killed_filler_holds_nobody_up(folder: Path) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, BOUND, BLOCK)
    with start("hold", folder) as worker:
        assert worker.stdout.readline() == "ready\n"
        answers: list[bytes | None] = []
        waiting = threading.Thread(target=lambda: answers.append(source.read(cache, 0)))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        worker.kill()
        waiting.join(5)
    assert answers == [source.expected(GIVEN, 0)]
    assert len(source.fills) == 1


def test_when_a_fill_fails_those_who_waited_try_one_after_the_other(folder: Path) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, BOUND, BLOCK)
    tries: list[int] = []
    at_once: list[int] = []
    outcomes: list[str] = []

    def fill(start: int, stop: int) -> bytes:
        tries.append(1)
        at_once.append(1)
        time.sleep(0.02)
        assert len(at_once) == 1
        at_once.pop()
        if len(tries) <= 3:
            raise ConnectionError("the store is away")
        return source.bytes_of(GIVEN, start, stop)

    def ask(number: int) -> None:
        try:
            with cache.open(GIVEN, SIZE, 0, fill) as block:
                outcomes.append("right" if block.read(0, BLOCK) == source.expected(GIVEN, 0) else "wrong")
        except ConnectionError:
            outcomes.append("away")

    in_threads(16, ask)
    assert sorted(outcomes) == ["away"] * 3 + ["right"] * 13
    assert len(tries) == 4


def test_no_lock_is_left_behind(folder: Path) -> None:
    def fill(start: int, stop: int) -> bytes:
        raise ConnectionError("the store is away")

    cache = BlockCache(folder, BOUND, BLOCK)
    Source(SIZE).read(cache, 0)
    with pytest.raises(ConnectionError):
        cache.open(GIVEN, SIZE, 1, fill)
    found = [folder / "v1" / "capacity", *(folder / "v1" / "locks").iterdir()]
    assert len(found) == 3
    for path in found:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
