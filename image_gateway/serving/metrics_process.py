"""The process beside the workers that serves METRICS_PORT, and what the master does for it.

A process, not a thread of the master: a fork copies the locks that other threads hold, and a SQLite
database must not be open across one.
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
    """Started by the master when it is ready, again when it is missed, ended with the master."""

    def __init__(self, settings: Settings) -> None:
        self._host = settings.metrics_host
        self._port = settings.metrics_port
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it where METRICS_PORT is set; leaves with status 78 when something else listens there."""
        if self._port is None:
            return
        # A master that takes over from another waits for its port.
        if "GUNICORN_PID" not in os.environ:
            _require_free(self._host, self._port)
        self._spawn()
        _log.info("metrics are at http://%s:%d/metrics", self._host, self._port)

    def tend(self, workers: Collection[int]) -> None:
        """After workers ended or were reloaded: put their files together, and start what is missed."""
        folder = shared_folder()
        if folder is not None:
            fold_ended(folder, {*workers, os.getpid()})
        if self._child is not None and self._child.poll() is not None:
            _log.error("the process that serves metrics ended: it is started again")
            self._spawn()

    def stop(self) -> None:
        """End it, and wait for that."""
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
        # It only reads the folder.
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
    """Which kind of address a host is; a name is looked up as IPv4, as gunicorn does."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
