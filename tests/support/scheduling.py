"""Which tests pytest-xdist runs in the same process."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# These share one stack and one browser, which every process would start for itself: two processes do.
TOGETHER = "tests/live/console/"
# The first file of the second half, which takes about as long as the first.
SECOND_HALF = "tests/live/console/test_p"


class FileScheduling(LoadFileScheduling):
    """`--dist loadfile`, but the files of the console's tests go to two processes."""

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith(TOGETHER):
            return super()._split_scope(nodeid)
        return f"{TOGETHER}{nodeid >= SECOND_HALF}"
