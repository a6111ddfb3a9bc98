"""Runs the gateway with gunicorn as a child process, and waits for /readyz."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3
from urllib3.exceptions import HTTPError

from image_gateway.local.processes import POLL_SECONDS, ManagedProcess, StartFailed
from image_gateway.serving.command import gunicorn_command

START_SECONDS = 60
BIND_SECONDS = 2


@dataclass(frozen=True)
class LocalGateway:
    """A running gateway and its URL."""

    process: ManagedProcess
    url: str

    def stop(self, grace: float = 10) -> None:
        """Stop the gateway, after `grace` seconds with SIGKILL."""
        self.process.stop(grace=grace)


def start_gateway(
    environment: Mapping[str, str], *, port: int, log: Path, cwd: Path | None = None
) -> LocalGateway:
    """Start gunicorn on 127.0.0.1:`port` and wait until it is ready.

    Args:
        environment: The complete environment of the process; a `.env` in `cwd` adds to it.
        port: TCP port.
        log: File to which the output is appended.
        cwd: Working directory.

    Raises:
        StartFailed: The port is in use, or the gateway exited or was not ready in time.
    """
    variables = {**environment, "HOST": "127.0.0.1", "PORT": str(port)}
    # Bound here, because gunicorn retries a port in use while the other server answers /readyz.
    with _bind(port) as listener:
        command = [*gunicorn_command(), "--bind", f"fd://{listener.fileno()}"]
        fds = [listener.fileno()]
        process = ManagedProcess("the gateway", command, env=variables, log=log, cwd=cwd, pass_fds=fds)
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: _is_ready(url), seconds=START_SECONDS)
    except BaseException:
        process.stop(grace=2)
        raise
    return LocalGateway(process, url)


def _bind(port: int) -> socket.socket:
    """Bind the port; retries briefly, as killed processes of an earlier gateway may still hold it."""
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            return listener
        except OSError as error:
            listener.close()
            if time.monotonic() > deadline:
                raise StartFailed(f"port {port} is taken (address already in use): choose another") from error
        time.sleep(POLL_SECONDS)


def _is_ready(url: str) -> bool:
    with urllib3.PoolManager(retries=False, timeout=5) as http:
        try:
            return http.request("GET", f"{url}/readyz").status == 200
        except HTTPError:
            return False
