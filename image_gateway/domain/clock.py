"""What time it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


def now_of(clock: Callable[[], float]) -> datetime:
    """The clock's seconds since the epoch as an aware UTC date."""
    return datetime.fromtimestamp(clock(), UTC)
