"""Boot traces as clients get them: lists of blocks or byte ranges, cached in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachetools import TTLCache

from image_gateway.catalog.boot_traces import BootTraceRepository
from image_gateway.domain.images import DiskFacts, ImageRecord
from image_gateway.protocol.boot_trace import BLOCK_SIZE, BootTrace
from image_gateway.protocol.ranges import ByteRange

# In one answer to a client: 512 MiB.
MAX_PREFETCH_BLOCKS = 8192
# Some 10 to 30 MB. An image without a trace counts as ten items.
MAX_CACHED_ITEMS = 250_000
_MIN_WEIGHT = 10


@dataclass(frozen=True)
class _Prefetch:
    blocks: Sequence[int]
    ranges: Sequence[ByteRange]


_NOTHING = _Prefetch((), ())


class BootTraces:
    """Tells what a client is to read first; that is cached for `remember` seconds, 0 for not at all."""

    def __init__(self, repository: BootTraceRepository, remember: float, timer: Callable[[], float]) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._cache: TTLCache[tuple[str, str], _Prefetch] = TTLCache(
            MAX_CACHED_ITEMS, remember, timer=timer, getsizeof=_weight
        )

    def prefetch_blocks(self, record: ImageRecord, disk: DiskFacts) -> Sequence[int]:
        """Return the numbers of the blocks of BLOCK_SIZE bytes that a boot reads, in order, each once.

        At most MAX_PREFETCH_BLOCKS, and none for an image without a trace. Raises CatalogUnavailable.
        """
        return self._find(record, disk).blocks

    def prefetch_ranges(self, record: ImageRecord, disk: DiskFacts) -> Sequence[ByteRange]:
        """Return the bytes of the blocks of `prefetch_blocks`, in order. Raises CatalogUnavailable."""
        return self._find(record, disk).ranges

    def _find(self, record: ImageRecord, disk: DiskFacts) -> _Prefetch:
        key = record.image_id, record.version
        with self._lock:
            cached = self._cache.get(key)
        if cached is not None:
            return cached
        trace = self._repository.find(record.image_id, record.version)
        prefetch = _prefetch_of(trace, disk.size) if trace is not None else _NOTHING
        with self._lock:
            self._cache[key] = prefetch
        return prefetch


def _prefetch_of(trace: BootTrace, size: int) -> _Prefetch:
    return _Prefetch(
        tuple(trace.blocks(BLOCK_SIZE, size, MAX_PREFETCH_BLOCKS)),
        tuple(trace.byte_ranges(size, MAX_PREFETCH_BLOCKS)),
    )


def _weight(prefetch: _Prefetch) -> int:
    return _MIN_WEIGHT + len(prefetch.blocks) + len(prefetch.ranges)
