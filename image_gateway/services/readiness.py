"""Readiness checks of the dependencies: one at a time, however many probes ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from image_gateway.errors import TryAgain

CHECK_SECONDS = 2.0
REMEMBER_SECONDS = 1.0


@dataclass(frozen=True)
class Dependency:
    """A dependency: `check` raises when it is unusable; `unavailable` is the error when it hangs."""

    name: str
    check: Callable[[], None]
    unavailable: type[TryAgain]


@dataclass
class _Attempt:
    """One run of all checks; `asked` is the dependency being checked."""

    deadline: float
    asked: Dependency
    ended: float = 0.0
    outcome: Future[None] = field(default_factory=Future)


class Readiness:
    """Checks the dependencies in order, in one background thread of the process, with a timeout.

    Probes that arrive during a check share its outcome, which is remembered for `remember` seconds. A check
    that takes longer than `seconds` goes on in its thread; until it ends no other is started and every probe
    is refused at once. Nothing runs before the first probe, so an app may be made before a fork.
    """

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        *,
        seconds: float = CHECK_SECONDS,
        remember: float = REMEMBER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dependencies = dependencies
        self._seconds = seconds
        self._remember = remember
        self._clock = clock
        self._lock = threading.Lock()
        self._attempt: _Attempt | None = None

    def require(self) -> None:
        """Return when every dependency answered.

        Raises:
            TryAgain: the `unavailable` of the dependency that did not answer in time.
            Exception: whatever a check raised.
        """
        attempt = self._current()
        try:
            attempt.outcome.result(timeout=max(0.0, attempt.deadline - self._clock()))
        except TimeoutError:
            if attempt.outcome.done():
                raise
            asked = attempt.asked
            raise asked.unavailable(f"{asked.name} did not answer within {self._seconds:g} seconds") from None

    def _current(self) -> _Attempt:
        """The attempt that is running or still remembered, or a new one."""
        with self._lock:
            attempt = self._attempt
            if attempt is None or (
                attempt.outcome.done() and self._clock() >= attempt.ended + self._remember
            ):
                attempt = _Attempt(self._clock() + self._seconds, self._dependencies[0])
                self._attempt = attempt
                # A daemon thread: a check that hangs must not delay the exit of the process.
                threading.Thread(target=self._run, args=(attempt,), name="readiness", daemon=True).start()
            return attempt

    def _run(self, attempt: _Attempt) -> None:
        try:
            for attempt.asked in self._dependencies:
                attempt.asked.check()
        except BaseException as error:  # noqa: BLE001  # raised again to every probe that waits
            attempt.ended = self._clock()
            attempt.outcome.set_exception(error)
        else:
            attempt.ended = self._clock()
            attempt.outcome.set_result(None)
