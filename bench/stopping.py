"""Runs a benchmark so that both Ctrl-C and SIGTERM stop what it has started."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable


def run_until_stopped(run: Callable[[], None]) -> None:
    """Run; a signal to stop unwinds `run` as Ctrl-C does, and further ones do not disturb that."""
    # The store does not answer while it starts, of which nobody needs to hear.
    logging.getLogger("image_gateway").addHandler(logging.NullHandler())
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell's background job inherits SIGINT as ignored; both must stop what was started.
        signal.signal(number, _interrupted)
    try:
        run()
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None


def _interrupted(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
