"""Examines all subjects in turn, each within a time limit, and lets them clean up when they must stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from image_gateway.doctor.cloudfront import check_cloudfront
from image_gateway.doctor.database import check_database
from image_gateway.doctor.disk import check_disk
from image_gateway.doctor.edge import check_edge
from image_gateway.doctor.jobs import check_jobs
from image_gateway.doctor.leases import check_leases
from image_gateway.doctor.oidc import check_oidc
from image_gateway.doctor.public_url import check_public_url
from image_gateway.doctor.redis import check_redis
from image_gateway.doctor.settings import check_settings, invalid_settings
from image_gateway.doctor.store import check_store
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.settings import Settings, SettingsError

_log = logging.getLogger(__name__)
Subject = Callable[[Settings], Iterator[Check]]
SUBJECT_SECONDS = 120.0
REMOVAL_SECONDS = 60.0


def subjects(*, read_only: bool = False) -> dict[str, Subject]:
    """Return what is examined, in this order, by the names that --only takes."""
    return {
        "settings": check_settings,
        "store": partial(check_store, read_only=read_only),
        "database": check_database,
        "redis": check_redis,
        "oidc": check_oidc,
        "lease": check_leases,
        "disk": check_disk,
        "jobs": check_jobs,
        "edge": check_edge,
        "cloudfront": check_cloudfront,
        "public-url": check_public_url,
    }


class Stopped(BaseException):
    """Thrown into the checks of a subject that are to end early: they may yield what is left behind."""


def examine(
    read_settings: Callable[[], Settings],
    chosen: dict[str, Subject],
    *,
    stop: threading.Event,
    seconds: float = SUBJECT_SECONDS,
    removal_seconds: float = REMOVAL_SECONDS,
) -> Generator[Check]:
    """Yield the checks of the chosen subjects as they are made.

    Invalid settings are findings, and so are exceptions of a subject, and one that does not end in time.
    Close the generator to stop early: that waits until the current subject has removed what it wrote.

    Args:
        read_settings: Returns the settings or raises SettingsError.
        stop: When it is set, the current subject removes what it wrote, and nothing follows.
        seconds: Time limit of each subject.
        removal_seconds: How long a subject that has used up its time may take to remove what it wrote.
    """
    try:
        settings = read_settings()
    except SettingsError as error:
        yield invalid_settings(error)
        for name in [name for name in chosen if name != "settings"]:
            yield Check(name, "everything", skipped="the settings are invalid")
        return
    for name, subject in chosen.items():
        if stop.is_set():
            return
        yield from _SubjectRun(name, partial(subject, settings), stop).checks(seconds, removal_seconds)


def choose(only: Collection[str], *, read_only: bool = False) -> dict[str, Subject]:
    """Return the named subjects, all if none is named; ValueError for an unknown name."""
    known = subjects(read_only=read_only)
    unknown = sorted(set(only) - known.keys())
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be examined; known: {', '.join(known)}")
    return {name: subject for name, subject in known.items() if not only or name in only}


class _SubjectRun:
    """The checks of one subject, made in a thread: some calls, such as DNS look-ups, have no time limit."""

    def __init__(self, name: str, subject: Callable[[], Iterator[Check]], stop: threading.Event) -> None:
        self._name = name
        self._subject = subject
        self._stop = stop
        self._ending = threading.Event()
        self._made: SimpleQueue[Check | None] = SimpleQueue()

    def checks(self, seconds: float, removal_seconds: float) -> Iterator[Check]:
        """Yield the checks, for up to `seconds`, and then what the end of the subject has to say."""
        thread = threading.Thread(target=self._run, name=f"doctor-{self._name}", daemon=True)
        thread.start()
        try:
            yield from self._until(time.monotonic() + seconds)
        except Empty:
            yield self._failure(
                "doctor-timeout",
                f"the checks of {self._name} did not end within {seconds:.0f} s",
                "Something answers too slowly, or not at all.",
                "see which check was the last one, and give --timeout more seconds if the network is slow",
            )
            self._ending.set()
            try:
                yield from self._until(time.monotonic() + removal_seconds)
            except Empty:
                _log.debug("the checks of %s still run", self._name)
        except GeneratorExit:
            self._ending.set()
            thread.join(removal_seconds)
            raise

    def _until(self, deadline: float) -> Iterator[Check]:
        """Yield checks until the subject has ended; raises Empty at the deadline."""
        while (check := self._made.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
            yield check

    def _run(self) -> None:
        try:
            self._make_checks()
        except (Stopped, StopIteration):
            _log.debug("the checks of %s were stopped", self._name)
        except Exception as error:  # noqa: BLE001  # what one subject meets must not hide the other ones
            _log.debug("the checks of %s failed", self._name, exc_info=True)
            self._made.put(
                self._failure(
                    "doctor-failed",
                    f"the checks of {self._name} ended with {_describe(error)}",
                    "Something outside behaves in a way that no check expects, or this is a bug.",
                    "report it with this line, and with the versions of what is examined",
                )
            )
        finally:
            self._made.put(None)

    def _make_checks(self) -> None:
        checks = self._subject()
        for check in checks:
            self._made.put(check)
            if self._stop.is_set() or self._ending.is_set():
                self._end(checks)
                return

    def _end(self, checks: Iterator[Check]) -> None:
        """Throw Stopped into a generator, which removes what it wrote and may yield more checks."""
        throw = getattr(checks, "throw", None)
        if throw is not None:
            self._made.put(throw(Stopped()))
            for check in checks:
                self._made.put(check)

    def _failure(self, code: str, what: str, why: str, remedy: str) -> Check:
        finding = Finding(code, Severity.BROKEN, what, why, remedy)
        return Check(self._name, "the checks end", findings=(finding,))


def _describe(error: Exception) -> str:
    """Return the type of an error and where it was raised; its message could contain secrets."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "image_gateway" in path.parts:
            place = f" in {path.parent.name}/{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}"
