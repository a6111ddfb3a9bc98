"""Flask for views and hooks that are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask


class SyncFlask(Flask):
    """Does not ask again for each request whether a view or hook is a coroutine: none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
