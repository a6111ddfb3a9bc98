"""A thread-safe TTL cache."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TLRUCache

MAX_ENTRIES = 4096

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class TtlCache(Generic[_Key, _Value]):
    """Keeps values for `seconds`; 0 keeps nothing. Each `put` drops all expired entries.

    Beyond MAX_ENTRIES the least recently used entry is dropped.

    Args:
        seconds: the lifetime of an entry.
        timer: a monotonic clock in seconds.
    """

    def __init__(self, seconds: float, timer: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries: TLRUCache[_Key, tuple[_Value, float]] = TLRUCache(
            MAX_ENTRIES, ttu=lambda _key, entry, now: now + entry[1], timer=timer
        )

    def __len__(self) -> int:
        """The number of entries that have not expired."""
        with self._lock:
            return len(self._entries)

    def get(self, key: _Key) -> _Value | None:
        """Return the value, or None when there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def put(self, key: _Key, value: _Value, *, at_most: float = math.inf) -> _Value:
        """Keep and return a value; `at_most` shortens its lifetime to so many seconds."""
        with self._lock:
            self._entries[key] = (value, min(self._seconds, at_most))
        return value
