"""Converts clock readings to dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


def now_of(clock: Callable[[], float]) -> datetime:
    """Return the clock's reading (seconds since the epoch) as an aware UTC datetime."""
    return datetime.fromtimestamp(clock(), UTC)
