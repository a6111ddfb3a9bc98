"""CPU time and memory of a server with all its child processes, from /proc."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.25


def processes_of(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread that ended meanwhile leaves its children to another one, which is met as well.
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                found += processes_of(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its descendants have used, ended ones that were waited for included."""
    return sum(_ticks(Path(f"/proc/{process}/stat").read_text()) for process in processes_of(pid)) / _TICK


def _ticks(stat: str) -> int:
    # Behind the name, which may hold anything: utime, stime, cutime, cstime are the 12th to 15th.
    return sum(int(number) for number in stat.rpartition(")")[2].split()[11:15])


def memory_of(pid: int) -> tuple[int, int]:
    """Resident and proportional set size in bytes, summed over a process and its descendants."""
    rss = pss = 0
    for process in processes_of(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Rss":
                rss += int(rest.split()[0]) * 1024
            elif name == "Pss":
                pss += int(rest.split()[0]) * 1024
    return rss, pss


def anonymous_memory_of(pid: int) -> int:
    """Proportional set size without mapped files, in bytes, summed over a process and its descendants.

    The pages of programs and libraries are shared with whatever else runs on the machine: their part in a
    proportional set size rises when another Python ends.
    """
    total = 0
    for process in processes_of(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Pss_Anon", "Pss_Shmem"):
                total += int(rest.split()[0]) * 1024
    return total


class PeakMemory:
    """The highest resident and proportional set sizes between entering and leaving."""

    def __init__(self, *pids: int) -> None:
        self.rss = self.pss = 0
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            rss, pss = map(sum, zip(*map(memory_of, self._pids), strict=True))
        except (FileNotFoundError, ProcessLookupError):
            return
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)
