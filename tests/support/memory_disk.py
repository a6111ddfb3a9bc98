"""A disk in memory that tells what was written from what was stored, as a delta's disk does."""

from __future__ import annotations

import threading


class MemoryDisk:
    """A disk whose `stored` bytes are those of the last flush.

    Attributes:
        failure: Raised by the methods of this name: `read`, `write`, `zero` or `flush`.
    """

    def __init__(self, size: int, block_size: int = 4096) -> None:
        self.size, self.block_size = size, block_size
        self._bytes = bytearray(size)
        self._lock = threading.Lock()
        self.stored = bytes(self._bytes)
        self.unsafe_bytes = 0
        self.flushes = 0
        self.closed = False
        self.failures: dict[str, Exception] = {}

    def read(self, offset: int, length: int) -> bytes:
        self._fail("read")
        with self._lock:
            return bytes(self._bytes[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        self._fail("write")
        with self._lock:
            self._bytes[offset : offset + len(data)] = data
            self.unsafe_bytes += len(data)

    def zero(self, offset: int, length: int) -> None:
        self._fail("zero")
        self.write(offset, bytes(length))

    def flush(self) -> None:
        self._fail("flush")
        with self._lock:
            self.stored = bytes(self._bytes)
            self.unsafe_bytes = 0
            self.flushes += 1

    def close(self) -> None:
        self.closed = True

    def _fail(self, name: str) -> None:
        if name in self.failures:
            raise self.failures[name]
