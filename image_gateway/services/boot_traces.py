"""Boot traces as clients get them, cached in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cachetools import TTLCache

from image_gateway.catalog.boot_traces import BootTraceRepository
from image_gateway.domain.images import DiskFacts, ImageRecord
from image_gateway.protocol.boot_trace import BootTrace

# In one answer to a client.
MAX_PREFETCH_BLOCKS = 8192
# The memory of the cache: a range is about a hundred bytes, an image without a trace as much as ten ranges.
MAX_CACHED_RANGES = 200_000
_NO_TRACE_WEIGHT = 10


class BootTraces:
    """Finds the traces of images; each is cached for `remember` seconds, 0 for not at all."""

    def __init__(self, repository: BootTraceRepository, remember: float, timer: Callable[[], float]) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._cache: TTLCache[tuple[str, str], tuple[BootTrace | None]] = TTLCache(
            MAX_CACHED_RANGES, remember, timer=timer, getsizeof=_weight
        )

    def prefetch_blocks(
        self, record: ImageRecord, disk: DiskFacts, block_size: int, most: int = MAX_PREFETCH_BLOCKS
    ) -> list[int]:
        """Return the numbers of the blocks of `block_size` bytes that a boot reads, in order, each once.

        At most `most`, and none for an image without a trace. Raises CatalogUnavailable.
        """
        trace = self.find(record.image_id, record.version)
        return trace.blocks(block_size, disk.size, most) if trace is not None else []

    def find(self, image_id: str, version: str) -> BootTrace | None:
        """Return the trace of a version of an image, or None. Raises CatalogUnavailable."""
        key = image_id, version
        with self._lock:
            cached = self._cache.get(key)
        if cached is None:
            cached = (self._repository.find(image_id, version),)
            with self._lock:
                self._cache[key] = cached
        return cached[0]


def _weight(cached: tuple[BootTrace | None]) -> int:
    return _NO_TRACE_WEIGHT + len(cached[0].ranges if cached[0] else ())
