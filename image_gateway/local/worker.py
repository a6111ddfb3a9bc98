"""Runs `image-gateway worker` as a child process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from image_gateway.local.processes import ManagedProcess

START_SECONDS = 30
STARTED = "worker started"


def start_worker(environment: Mapping[str, str], *, log: Path, cwd: Path | None = None) -> ManagedProcess:
    """Start a worker and wait until it looks for jobs.

    Args:
        environment: The complete environment of the process; a `.env` in `cwd` adds to it.
        log: File to which the output is appended.
        cwd: Working directory.

    Raises:
        StartFailed: The worker exited.
    """
    command = [sys.executable, "-c", "from image_gateway.cli.main import main; main()", "worker"]
    process = ManagedProcess("the worker", command, env=environment, log=log, cwd=cwd)
    try:
        process.wait_until(lambda: STARTED in process.log_tail(), seconds=START_SECONDS)
    except BaseException:
        process.stop(grace=2)
        raise
    return process
