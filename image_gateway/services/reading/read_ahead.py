"""Fills the block cache ahead of readers that follow a boot trace."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, Full, Queue

from cachetools import TLRUCache

from image_gateway.errors import GatewayError, StoreFact
from image_gateway.observability.metrics import READ_AHEAD_DROPS, READ_AHEAD_FILLS, READ_AHEAD_USES
from image_gateway.protocol.boot_trace import BlockOrder, BootTrace
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.reading.cached_body import BlockCacheReader, CachedObject
from image_gateway.services.reading.trace_position import FollowedTrace, Follower

THREADS = 2
MAX_QUEUED = 1024
# When a trace that was made is noticed, and one that was replaced or removed.
REMEMBER_NO_TRACE_SECONDS, REMEMBER_TRACE_SECONDS = 30, 300
MAX_REMEMBERED_BLOCKS = 1_000_000
_MIN_WEIGHT = 100
# A longer read is a download, not a boot.
MAX_BLOCKS_PER_READ = 64
PAUSE_SECONDS = 10.0
LOG_INTERVAL_SECONDS = 60.0
STOP_SECONDS = 2.0
_log = logging.getLogger(__name__)


class ReadAhead:
    """Reads the next blocks of a trace into the block cache, in two threads of this process.

    `note` never waits: it only queues work, and drops it while the queue is full. The threads start with the
    first read, so that this may be created before a fork. Errors are logged once a minute, and pause the
    threads; readers get errors of their own.

    Args:
        cached: The block cache to fill.
        find_trace: Returns the trace of an image id and version, or None.
        max_bytes: How far ahead of a reader to fill.
        timer: Monotonic seconds.
    """

    def __init__(
        self,
        cached: BlockCacheReader,
        find_trace: Callable[[str, str], BootTrace | None],
        max_bytes: int,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cached = cached
        self._find_trace = find_trace
        self._blocks_ahead = max(1, max_bytes // cached.block_size)
        self._timer = timer
        self._lock = threading.Lock()
        # None: the image has no trace, or its trace is being looked up.
        self._traces: TLRUCache[tuple[str, str], tuple[FollowedTrace | None]] = TLRUCache(
            MAX_REMEMBERED_BLOCKS, ttu=_expiry, timer=timer, getsizeof=_weight
        )
        self._jobs: Queue[Callable[[], None]] = Queue(MAX_QUEUED)
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._paused_until = self._muted_until = -float("inf")

    def note(self, source: CachedObject, version: str, wanted: ByteRange) -> None:
        """Queue the blocks that follow, when this read of an image's disk follows the image's trace."""
        size = self._cached.block_size
        blocks = range(wanted.start // size, -(-wanted.stop // size))
        if len(blocks) > MAX_BLOCKS_PER_READ or self._stopping.is_set():
            return
        key = source.image_id, version
        with self._lock:
            known = self._traces.get(key)
            if known is None:
                if self._queue(partial(self._look_up, source, version)):
                    self._traces[key] = (None,)
                return
            if known[0] is not None:
                self._follow(known[0], blocks, source)

    def close(self) -> None:
        """Stop the threads. Waits up to two seconds for blocks that are being read, and drops queued ones."""
        self._stopping.set()
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
                READ_AHEAD_DROPS.inc()
        for _ in self._threads:
            # A full queue wakes them as well.
            with suppress(Full):
                self._jobs.put_nowait(lambda: None)
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        atexit.unregister(self.close)

    def _follow(self, trace: FollowedTrace, blocks: range, source: CachedObject) -> None:
        for block in blocks:
            if trace.use(block):
                READ_AHEAD_USES.inc()
            follower = trace.advance(block)
            if follower is None:
                continue
            for position in trace.positions_ahead(follower, self._blocks_ahead):
                if not self._queue(partial(self._fill, trace, follower, position, source)):
                    READ_AHEAD_DROPS.inc()
                    return
                follower.queued = position

    def _queue(self, job: Callable[[], None]) -> bool:
        try:
            self._jobs.put_nowait(job)
        except Full:
            return False
        if not self._threads:
            self._start()
        return True

    def _start(self) -> None:
        # As daemons they end with the process, even if the store does not answer.
        self._threads = [
            threading.Thread(target=self._work, name=f"read-ahead-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def _work(self) -> None:
        while not self._stopping.is_set():
            job = self._jobs.get()
            try:
                job()
            except Exception as error:  # noqa: BLE001  # Whatever fails, the thread goes on with the next block.
                self._fail(error)

    def _look_up(self, source: CachedObject, version: str) -> None:
        trace = self._find_trace(source.image_id, version)
        if trace is None:
            return
        followed = FollowedTrace(BlockOrder(trace.blocks(self._cached.block_size, source.size)))
        with self._lock:
            self._traces[source.image_id, version] = (followed,)

    def _fill(self, trace: FollowedTrace, follower: Follower, position: int, source: CachedObject) -> None:
        if position <= follower.position or self._timer() < self._paused_until:
            READ_AHEAD_DROPS.inc()
            return
        block = trace.order.block_at(position)
        if self._cached.fill_ahead(source, block):
            READ_AHEAD_FILLS.inc()
            with self._lock:
                trace.filled.add(block)

    def _fail(self, error: Exception) -> None:
        now = self._timer()
        with self._lock:
            self._paused_until = now + PAUSE_SECONDS
            is_muted = now < self._muted_until
            if not is_muted:
                self._muted_until = now + LOG_INTERVAL_SECONDS
        if is_muted:
            return
        is_expected = isinstance(error, GatewayError | StoreFact | OSError)
        _log.warning("reading ahead failed: %s", type(error).__name__, exc_info=not is_expected)


def _expiry(_: object, known: tuple[FollowedTrace | None], now: float) -> float:
    return now + (REMEMBER_NO_TRACE_SECONDS if known[0] is None else REMEMBER_TRACE_SECONDS)


def _weight(known: tuple[FollowedTrace | None]) -> int:
    return _MIN_WEIGHT + (len(known[0].order) if known[0] is not None else 0)
