"""Child processes that are awaited when they start and surely gone when they stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.05


class StartFailed(Exception):
    """A process ended, or did not become ready in time; the text holds the end of its log."""


class ManagedProcess:
    """A running child in a process group of its own, its output in a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until `ready`; raises StartFailed when the process ends or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_alive():
                raise StartFailed(
                    f"{self.name} ended with status {self._child.returncode}:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready after {seconds:.0f} s:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end and return the exit status; TimeoutError when it takes longer."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self.name} is still running") from error

    def stop(self, *, grace: float) -> None:
        """SIGTERM, wait up to `grace` seconds, SIGKILL what is left of the group; may be called again."""
        if self.is_alive():
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace)
        self.kill()

    def kill(self) -> None:
        """SIGKILL the whole group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()

    def log_tail(self, characters: int = 2000) -> str:
        """The end of what the process wrote."""
        return self.log.read_text(errors="replace")[-characters:]
