"""Child processes with a readiness check; stopping kills the whole process group."""

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
    """A process exited or was not ready in time; the message has the end of its log."""


class ManagedProcess:
    """A child process in its own session, with its output appended to a log file."""

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
        """Return whether the process is running."""
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until `ready` returns true; raises StartFailed if the process exits or on timeout."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_alive():
                raise StartFailed(
                    f"{self.name} exited with status {self._child.returncode}:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready after {seconds:.0f} s:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the process and return its exit status; raises TimeoutError after `seconds`."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self.name} is still running") from error

    def stop(self, *, grace: float) -> None:
        """Send SIGTERM, wait up to `grace` seconds and SIGKILL the process group; idempotent."""
        if self.is_alive():
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace)
        self.kill()

    def kill(self) -> None:
        """SIGKILL the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()

    def log_tail(self, characters: int = 2000) -> str:
        """Return the last characters of the log file."""
        return self.log.read_text(errors="replace")[-characters:]
