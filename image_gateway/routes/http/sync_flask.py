"""Flask for synchronous views and hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask


class SyncFlask(Flask):
    """Skips Flask's check of each view and hook for a coroutine function."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
