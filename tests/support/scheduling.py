"""Which tests pytest-xdist runs in the same process."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# These share one stack and one browser, which every process would start for itself.
TOGETHER = "tests/live/console/"


class FileScheduling(LoadFileScheduling):
    """`--dist loadfile`, but all files of the console's tests go to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else super()._split_scope(nodeid)
