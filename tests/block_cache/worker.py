"""What the tests run in processes of their own: `python -m tests.block_cache.worker <task> <folder>`."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.block_cache.cache_directory import FileLock
from tests.block_cache.source import BLOCK, GIVEN, Source, bytes_in

SIZE = 40 * BLOCK - 100
BOUND = 12 * BLOCK


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask_together(folder: Path) -> list[str]:
    """Sixteen threads open cold blocks at the same time and tell what they got; fills go to a common file."""
    source = Source(SIZE)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    answers: list[str] = []
    tell("ready")
    sys.stdin.readline()

    def open_all(number: int) -> None:
        for index in range(3):
            right = _slowly(cache, source, index, folder) == source.expected(GIVEN, index)
            answers.append("right" if right else "wrong")

    in_threads(16, open_all)
    return answers


def _slowly(cache: BlockCache, source: Source, index: int, folder: Path) -> bytes:
    def fill(start: int, stop: int) -> bytes:
        with open(folder.parent / "fills", "a") as log:
            log.write(f"{index}\n")
        time.sleep(0.1)
        return source.bytes_of(GIVEN, start, stop)

    with cache.open(GIVEN, SIZE, index, fill) as block:
        return block.read(0, BLOCK)


def fill_many(folder: Path) -> list[str]:
    """Eight threads open random blocks of a cache far too small; what is wrong."""
    source = Source(SIZE, zeros=frozenset({3, 7}))
    cache = BlockCache(folder, BOUND, BLOCK)
    wrong: list[str] = []

    def work(number: int) -> None:
        chance = random.Random(f"{os.getpid()} {number}")
        for _ in range(60):
            index = chance.randrange(40)
            if source.read(cache, index) != source.expected(GIVEN, index):
                wrong.append(f"block {index}")
            with FileLock(f"{folder}/v1/capacity") as capacity:
                if any(capacity.attempts()) and bytes_in(folder) > BOUND:
                    wrong.append("bound")

    in_threads(8, work)
    return wrong


def die_often(folder: Path) -> list[str]:
    """Fifty processes are killed while they fill; what ended them."""
    ends = []
    for number in range(50):
        child = os.fork()
        if not child:
            fill_until_killed(folder, number)
        time.sleep(random.Random(number).uniform(0.005, 0.03))
        os.kill(child, signal.SIGKILL)
        ends.append(signal.Signals(os.waitpid(child, 0)[1]).name)
    return ends


def fill_until_killed(folder: Path, number: int) -> None:
    source = Source(SIZE, zeros=frozenset({3, 7}))
    cache = BlockCache(folder, BOUND, BLOCK)
    chance = random.Random(number)
    while True:
        source.read(cache, chance.randrange(40))


def hold(folder: Path) -> list[str]:
    """Hold a fill for ever."""

    def fill(start: int, stop: int) -> bytes:
        tell("ready")
        signal.pause()
        return b""

    BlockCache(folder, BOUND, BLOCK).open(GIVEN, SIZE, 0, fill)
    return []


if __name__ == "__main__":
    task = {each.__name__: each for each in (ask_together, fill_many, die_often, hold)}[sys.argv[1]]
    tell(json.dumps(task(Path(sys.argv[2]))))
