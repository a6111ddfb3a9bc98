"""What went wrong with the cache: told once a minute, and a reason to leave the disk alone for a while."""

from __future__ import annotations

import logging
import time

REST_SECONDS = 10.0
LOG_SECONDS = 60.0
_log = logging.getLogger(__name__)


class Trouble:
    """Remembers the last failure of the cache in this process."""

    def __init__(self) -> None:
        self._rest_until = 0.0
        self._silent_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether nothing should be filled now: what is read could not be kept."""
        return time.monotonic() < self._rest_until

    def note(self, reason: OSError) -> None:
        """Log, and begin a rest."""
        self._rest_until = time.monotonic() + REST_SECONDS
        self.mention(f"{type(reason).__name__}: {reason}")

    def mention(self, reason: str) -> None:
        """Log, unless something was logged less than a minute ago."""
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            _log.warning("the block cache is passed by: %s", reason)
