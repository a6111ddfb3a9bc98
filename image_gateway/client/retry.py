"""Trying again: exponential backoff with full jitter, Retry-After, and an end to patience."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from image_gateway.client.errors import ApiError, PatienceOver, Stopped

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
TELL_FROM = 1.0

Result = TypeVar("Result")
Say = Callable[[str], None]


class Retrier:
    """Repeats what may pass for up to `patience` seconds since its first failure; shared by all threads.

    `say` hears when the waiting begins and when it is over. `sleep` returns True when it was cut short by
    `stop`, which ends everything with Stopped.
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
        """Return what `work` returns; raises its ApiError when it cannot pass, PatienceOver in the end.

        `whom` is who is waited for, as people are told.
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
                self._tell_the_end(whom)
                return result

    def check(self) -> None:
        """Raise Stopped when everything is to end."""
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
        # Beyond 2^10 the power only grows towards an overflow.
        wait = self._jitter(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt, 10)))
        wait = min(left, wait + (error.retry_after or 0))
        if attempt or wait >= TELL_FROM:
            self._tell_the_begin(error, whom, left)
        self._sleep(wait)

    def _tell_the_begin(self, error: ApiError, whom: str, left: float) -> None:
        with self._lock:
            if whom not in self._awaited:
                self._awaited.add(whom)
                self._say(f"waiting for the {whom}: {error}; trying again for up to {_duration(left)}")

    def _tell_the_end(self, whom: str) -> None:
        with self._lock:
            if whom in self._awaited:
                self._awaited.remove(whom)
                self._say(f"the {whom} answers again")


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
