"""A clock that stands still until it is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since the epoch, whole ones from now, that pass when told."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now

    def at(self, seconds: float = 0) -> datetime:
        """The moment that is so many seconds away."""
        return datetime.fromtimestamp(self.now + seconds, UTC)
