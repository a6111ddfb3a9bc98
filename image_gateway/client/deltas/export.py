"""Keeps the disk of a delta committed while clients of NBD write to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from image_gateway.client.deltas.session import Fenced
from image_gateway.client.errors import ApiError, Stopped
from image_gateway.nbd import wire
from image_gateway.nbd.disk_commands import WritableDisk

Say = Callable[[str], None]


class CommittedDisk(WritableDisk, Protocol):
    """A disk whose flush is a commit; see DeltaDisk."""

    @property
    def generation(self) -> int: ...

    @property
    def unsafe_bytes(self) -> int: ...

    def close(self) -> None: ...


class DeltaExport:
    """The disk of a delta that is exported: commits it regularly, and says what fails.

    Args:
        over: Set when another writer takes over, which ends the export.
        say: Called with a line for the user. A failure that repeats is said once, until a commit succeeds.
    """

    def __init__(self, disk: CommittedDisk, *, over: threading.Event, say: Say) -> None:
        self._disk, self._over, self._say = disk, over, say
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._first_generation = disk.generation
        self.is_fenced = False

    def errno_of(self, error: Exception) -> int:
        """Note the error of a disk's method, and return that of NBD: ESHUTDOWN means that the export ends.

        ENOSPC is a quota's: QEMU can pause its guest then, and try again later.
        """
        if isinstance(error, Fenced):
            self.is_fenced = True
            self._over.set()
            return wire.ESHUTDOWN
        if isinstance(error, Stopped):
            return wire.ESHUTDOWN
        self._say_once(str(error) if isinstance(error, ApiError) else f"{type(error).__name__}: {error}")
        is_full = isinstance(error, ApiError) and error.code == "QUOTA_EXCEEDED"
        return wire.ENOSPC if is_full else wire.EIO

    @contextmanager
    def committing(self, seconds: float, *, report: Say | None = None) -> Iterator[None]:
        """Commit what was written every so many seconds, until the end of the context.

        Args:
            report: Called with a line of status after those of these times at which there were new commits.
        """
        end = threading.Event()

        def commit_regularly() -> None:
            reported = self._disk.generation
            while not end.wait(seconds):
                self._commit()
                if report is not None and self._disk.generation != reported:
                    reported = self._disk.generation
                    report(self.status())

        thread = threading.Thread(target=commit_regularly, name="nbd-commit", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()

    def status(self) -> str:
        """Return one line: commits since the beginning, and the bytes that would be lost now."""
        commits = self._disk.generation - self._first_generation
        return (
            f"generation {self._disk.generation}, {commits} commits, "
            f"{self._disk.unsafe_bytes} bytes not committed"
        )

    def _commit(self) -> None:
        if self._disk.unsafe_bytes:
            try:
                self._disk.flush()
            except Exception as error:  # noqa: BLE001  # said, and the next time tries again
                self.errno_of(error)
                return
        with self._lock:
            self._said.clear()

    def _say_once(self, line: str) -> None:
        with self._lock:
            if line in self._said:
                return
            self._said.add(line)
        self._say(line)
