"""The account of what the blocks take, shared by all processes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from image_gateway.cache.eviction import Stock, count, evict
from image_gateway.cache.room import Room
from image_gateway.metrics.instruments import CACHE_BYTES, CACHE_EVICTIONS

_FORMAT = struct.Struct("<QQ")


class Ledger:
    """Knows the stock of blocks, and lets one thread of all processes at a time change it.

    What it says is never less than what is on disk, wherever a process is killed: sizes are added before
    files are written and subtracted after they are gone. Each process counts anew when it first changes it.
    """

    def __init__(self, room: Room, limit: Stock) -> None:
        self._room = room
        self._limit = limit
        self._counted = False

    @contextmanager
    def reserving(self, size: int) -> Iterator[None]:
        """Make room for a file of `size` bytes, to be written inside; an OSError there gives the room back.

        Raises OSError, a TimeoutError when others hold the ledger for long.
        """
        with self._room.lock_ledger() as lock:
            if not any(lock.attempts()):
                raise TimeoutError("the cache's ledger is held by others")
            before = self._make_room(self._open(lock.fd), size)
            self._write(lock.fd, before.plus(size))
            try:
                yield
            except OSError:
                self._write(lock.fd, before)
                raise

    def _open(self, fd: int) -> Stock:
        text = os.pread(fd, _FORMAT.size, 0)
        if self._counted and len(text) == _FORMAT.size:
            return Stock(*_FORMAT.unpack(text))
        stock = count(self._room.blocks)
        self._counted = True
        return stock

    def _make_room(self, stock: Stock, size: int) -> Stock:
        if stock.plus(size).fits(self._limit):
            return stock
        target = Stock(
            min(self._limit.bytes * 9 // 10, self._limit.bytes - size),
            min(self._limit.files * 9 // 10, self._limit.files - 1),
        )
        stock, gone = evict(self._room.blocks, stock, target)
        CACHE_EVICTIONS.inc(gone)
        return stock

    def _write(self, fd: int, stock: Stock) -> None:
        os.pwrite(fd, _FORMAT.pack(*stock), 0)
        CACHE_BYTES.set(stock.bytes)
