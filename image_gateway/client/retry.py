"""Retries with exponential backoff, full jitter, Retry-After and a time limit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from image_gateway.client.errors import ApiError, PatienceOver, Stopped

BASE_DELAY, MAX_DELAY = 0.5, 30.0
REPORT_FROM = 1.0

Result = TypeVar("Result")
Say = Callable[[str], None]


class Retrier:
    """Retries retryable errors; thread-safe.

    Args:
        patience: Seconds after the first failure until retrying gives up.
        say: Called with a line when waiting starts and when it ends.
        stop: Event that cancels all calls with Stopped.
        sleep: Function that waits; by default `stop.wait`.
    """

    def __init__(
        self,
        patience: float,
        *,
        say: Say = lambda _: None,
        stop: threading.Event | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.stop = stop or threading.Event()
        self._patience = patience
        self._say = say
        self._sleep = sleep or self.stop.wait
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._awaited: set[str] = set()

    def call(self, work: Callable[[], Result], whom: str = "gateway") -> Result:
        """Call `work` until it succeeds, and return its result.

        Args:
            work: The operation.
            whom: Name of the server in messages.

        Raises:
            ApiError: A permanent error.
            PatienceOver: The time limit was reached.
            Stopped: `stop` was set.
        """
        attempt, deadline = 0, None
        while True:
            self.check()
            try:
                result = work()
            except ApiError as error:
                if not error.retryable:
                    raise
                now = self._clock()
                deadline = now + self._patience if deadline is None else deadline
                self._wait(error, whom, attempt, deadline - now)
                attempt += 1
            else:
                self._report_recovery(whom)
                return result

    def check(self) -> None:
        """Raise Stopped when `stop` is set."""
        if self.stop.is_set():
            raise Stopped

    def _wait(self, error: ApiError, whom: str, attempt: int, left: float) -> None:
        if left <= 0:
            raise PatienceOver(
                f"{error}; given up after {self._patience:.0f} s",
                status=error.status,
                code=error.code,
                retryable=False,
            ) from None
        # The exponent is capped to avoid an overflow.
        wait = self._jitter(0, min(MAX_DELAY, BASE_DELAY * 2 ** min(attempt, 10)))
        wait = min(left, wait + (error.retry_after or 0))
        if attempt or wait >= REPORT_FROM:
            self._report_waiting(error, whom, left)
        self._sleep(wait)

    def _report_waiting(self, error: ApiError, whom: str, left: float) -> None:
        with self._lock:
            if whom not in self._awaited:
                self._awaited.add(whom)
                self._say(f"waiting for the {whom}: {error}; trying again for up to {_duration(left)}")

    def _report_recovery(self, whom: str) -> None:
        with self._lock:
            if whom in self._awaited:
                self._awaited.remove(whom)
                self._say(f"the {whom} answers again")


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
