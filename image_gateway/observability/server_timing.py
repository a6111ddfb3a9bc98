"""The Server-Timing header, for browsers' developer tools."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from flask import Response, g

_NOTHING: AbstractContextManager[None] = nullcontext()


class Timings:
    """Measures named steps of the current request."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def step(self, name: str) -> AbstractContextManager[None]:
        """Measure a block; repeated steps of one name are added up."""
        return _measure(name) if self.enabled else _NOTHING

    def tell(self, response: Response) -> Response:
        """Add the header with all steps so far, in milliseconds; returns the response."""
        if self.enabled and (steps := _steps()):
            told = (f"{name};dur={seconds * 1000:.2f}" for name, seconds in steps.items())
            response.headers["Server-Timing"] = ", ".join(told)
        return response


@contextmanager
def _measure(name: str) -> Iterator[None]:
    steps, began = _steps(), time.perf_counter()
    try:
        yield
    finally:
        steps[name] = steps.get(name, 0.0) + time.perf_counter() - began


def _steps() -> dict[str, float]:
    if "timings" not in g:
        g.timings = {}
    steps: dict[str, float] = g.timings
    return steps
