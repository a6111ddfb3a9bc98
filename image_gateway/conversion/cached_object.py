"""A stored object behind a small cache, so that QEMU's many small reads become few larger ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future

from image_gateway.conversion.object_source import CountedObject

BLOCK_BYTES = 64 * 1024
CACHE_BLOCKS = 512
READ_AHEAD_BLOCKS = 16
# Reads of data clusters are this large; keeping them would displace the metadata.
DIRECT_BYTES = 256 * 1024


class CachedObject:
    """Reads ranges of an object; safe for threads, and fetches no block twice at the same time.

    Small reads are cached in blocks of 64 KiB, up to 32 MiB. A block after a cached one is fetched together
    with those that follow it, up to 1 MiB. Large reads are passed on as they are.
    """

    def __init__(self, source: CountedObject) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self.size = source.size

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`; raises what the source raises."""
        if end - start >= DIRECT_BYTES:
            return self._source.read(start, end)
        numbers = range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES))
        found = self._find(numbers)
        data = b"".join(block.result() for block in found)
        offset = numbers.start * BLOCK_BYTES
        return data[start - offset : end - offset]

    def _find(self, numbers: range) -> list[Future[bytes]]:
        """Return the blocks, of which those that another thread fetches may be unfinished."""
        with self._lock:
            missing = [number for number in numbers if number not in self._blocks]
            if missing and missing[0] - 1 in self._blocks:
                missing += self._following(numbers.stop)
            for number in missing:
                self._blocks[number] = Future()
            for number in numbers:
                self._blocks.move_to_end(number)
            found = [self._blocks[number] for number in numbers]
            mine = [(number, self._blocks[number]) for number in missing]
            while len(self._blocks) > CACHE_BLOCKS:
                self._blocks.popitem(last=False)
        self._fetch(mine)
        return found

    def _following(self, first: int) -> list[int]:
        """Return the blocks from `first` that are not cached, up to the first that is."""
        following = []
        for number in range(first, min(first + READ_AHEAD_BLOCKS, -(-self.size // BLOCK_BYTES))):
            if number in self._blocks:
                break
            following.append(number)
        return following

    def _fetch(self, blocks: Sequence[tuple[int, Future[bytes]]]) -> None:
        """Fetch blocks, adjacent ones in one read; a failure is theirs and is forgotten."""
        first = 0
        for index in range(1, len(blocks) + 1):
            if index == len(blocks) or blocks[index][0] != blocks[index - 1][0] + 1:
                self._fetch_adjacent(blocks[first:index])
                first = index

    def _fetch_adjacent(self, blocks: Sequence[tuple[int, Future[bytes]]]) -> None:
        start = blocks[0][0] * BLOCK_BYTES
        end = min((blocks[-1][0] + 1) * BLOCK_BYTES, self.size)
        try:
            data = self._source.read(start, end)
        except BaseException as error:  # noqa: BLE001  # raised by the results
            with self._lock:
                for number, block in blocks:
                    if self._blocks.get(number) is block:
                        del self._blocks[number]
            for _, block in blocks:
                block.set_exception(error)
            return
        for index, (_, block) in enumerate(blocks):
            block.set_result(data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES])
