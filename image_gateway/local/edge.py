"""Runs nginx in front of a local gateway as a child process."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from image_gateway.edge.config import render_config
from image_gateway.local.processes import ManagedProcess, StartFailed
from image_gateway.settings import Settings
from image_gateway.storage.client import StoreAddress

START_SECONDS = 20
_NOT_INSTALLED = "nginx is not installed: run apt-get install nginx-light, or omit --edge"


@dataclass(frozen=True)
class LocalEdge:
    """A running nginx and its URL."""

    process: ManagedProcess
    url: str

    def stop(self, grace: float = 5) -> None:
        """Stop nginx, after `grace` seconds with SIGKILL."""
        self.process.stop(grace=grace)


def edge_environment(folder: Path, port: int, internal_port: int) -> dict[str, str]:
    """Return the settings of a local gateway and nginx; nginx writes only below `folder`."""
    directory = str(folder.resolve())
    # When started by root, nginx switches to a user that cannot access the directory.
    as_root = {"EDGE_USER": "root"} if os.geteuid() == 0 else {}
    return {
        **as_root,
        "EDGE_TOKEN": secrets.token_hex(32),
        "EDGE_PORT": str(port),
        "EDGE_INTERNAL_PORT": str(internal_port),
        "EDGE_CACHE_DIR": directory,
        "EDGE_RUN_DIR": directory,
        "EDGE_LOG_DIR": directory,
        "TRUSTED_PROXY_HOPS": "1",
    }


def require_nginx() -> str:
    """Return the path of nginx; raises StartFailed if it is not installed."""
    # Debian installs it in a directory that is not in the PATH of ordinary users.
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise StartFailed(_NOT_INSTALLED)
    return found


def start_edge(settings: Settings, store: StoreAddress, folder: Path) -> LocalEdge:
    """Start nginx with its files in `folder` and wait until it accepts connections; raises StartFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.resolve() / "nginx.conf"
    config.touch(mode=0o600)
    config.write_text(render_config(settings, store))
    errors = folder.resolve() / "error.log"
    command = [require_nginx(), "-c", str(config), "-e", str(errors), "-g", "daemon off;"]
    _check_config(command)
    process = ManagedProcess("nginx", command, env=os.environ, log=folder / "nginx.log")
    address = (settings.edge_host, settings.edge_port)
    try:
        process.wait_until(lambda: _accepts_connections(address), seconds=START_SECONDS)
    except BaseException:
        process.stop(grace=2)
        raise
    return LocalEdge(process, f"http://{settings.edge_host}:{settings.edge_port}")


def _check_config(command: list[str]) -> None:
    """Run `nginx -t`, which reports configuration errors on stderr."""
    checked = subprocess.run(
        [*command[:-2], "-t"], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    if checked.returncode:
        raise StartFailed(f"nginx configuration test failed:\n{checked.stderr}")


def _accepts_connections(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
