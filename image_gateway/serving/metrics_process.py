"""Starts and supervises the process that serves METRICS_PORT.

It is not a thread of the master: fork copies locks held by other threads, and a SQLite connection must not be
used across a fork.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Collection

from image_gateway.observability.metrics_exposition import fold_ended
from image_gateway.observability.metrics_folder import VARIABLE, shared_folder
from image_gateway.serving.environment import EX_CONFIG
from image_gateway.settings import Settings

_log = logging.getLogger("image_gateway")


class MetricsProcess:
    """The metrics process: started, restarted and stopped by the master."""

    def __init__(self, settings: Settings) -> None:
        self._host = settings.metrics_host
        self._port = settings.metrics_port
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process if METRICS_PORT is set; exits with status 78 if the port is in use."""
        if self._port is None:
            return
        # On a binary upgrade the old master still uses the port.
        if "GUNICORN_PID" not in os.environ:
            _require_free(self._host, self._port)
        self._spawn()
        _log.info("serving metrics at http://%s:%d/metrics", self._host, self._port)

    def tend(self, workers: Collection[int]) -> None:
        """Merge the metrics files of exited workers, and restart the process if it exited."""
        folder = shared_folder()
        if folder is not None:
            fold_ended(folder, {*workers, os.getpid()})
        if self._child is not None and self._child.poll() is not None:
            _log.error("the metrics process exited unexpectedly: restarting it")
            self._spawn()

    def stop(self) -> None:
        """Stop the process and wait for it."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()

    def _spawn(self) -> None:
        command = [
            sys.executable,
            "-m",
            "image_gateway.serving.metrics_server",
            str(shared_folder()),
            str(os.getpid()),
        ]
        # The process only reads the folder, and must not write metrics of its own there.
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        self._child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603


def _require_free(host: str, port: int) -> None:
    with socket.socket(family_of(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            _log.error("METRICS_PORT=%d cannot be used: %s", port, error.strerror)
            sys.exit(EX_CONFIG)


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of a host; names are resolved as IPv4, as gunicorn does."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
