"""What was found out a moment ago, for a stated time: few entries, oldest out first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MOST_ENTRIES = 4096

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """Keeps values for `seconds`, or until a moment of their own when that is earlier; 0 keeps nothing."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, tuple[float, _Value]] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """The value, or None when there is none or its time is over."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and self._clock() < entry[0] else None

    def put(self, key: _Key, value: _Value, *, until: float | None = None) -> _Value:
        """Keep and return a value; `until` in seconds since the epoch."""
        end = self._clock() + self._seconds
        with self._lock:
            self._entries[key] = (end if until is None else min(end, until), value)
            self._entries.move_to_end(key)
            while len(self._entries) > MOST_ENTRIES:
                self._entries.popitem(last=False)
        return value
