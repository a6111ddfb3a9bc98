"""nginx in front of a local gateway, as a child process."""

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
_INSTALL = "nginx is not installed: sudo apt-get install nginx-light (or nginx-core), or go without --edge"


@dataclass(frozen=True)
class LocalEdge:
    """A running nginx and its address."""

    process: ManagedProcess
    url: str

    def stop(self, grace: float = 5) -> None:
        self.process.stop(grace=grace)


def edge_environment(folder: Path, port: int, internal_port: int) -> dict[str, str]:
    """The variables of a gateway and its nginx on this machine; nginx writes in `folder` alone."""
    place = str(folder.resolve())
    # Started by root, nginx would change to a user that may not enter the folder.
    as_root = {"EDGE_USER": "root"} if os.geteuid() == 0 else {}
    return {
        **as_root,
        "EDGE_TOKEN": secrets.token_hex(32),
        "EDGE_PORT": str(port),
        "EDGE_INTERNAL_PORT": str(internal_port),
        "EDGE_CACHE_DIR": place,
        "EDGE_RUN_DIR": place,
        "EDGE_LOG_DIR": place,
        "TRUSTED_PROXY_HOPS": "1",
    }


def require_nginx() -> str:
    """The path of nginx; StartFailed says how to install it."""
    # Debian keeps it where only root's PATH looks.
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise StartFailed(_INSTALL)
    return found


def start_edge(settings: Settings, store: StoreAddress, folder: Path) -> LocalEdge:
    """Start nginx over `folder` and return when it listens; raises StartFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.resolve() / "nginx.conf"
    config.touch(mode=0o600)
    config.write_text(render_config(settings, store))
    errors = folder.resolve() / "error.log"
    command = [require_nginx(), "-c", str(config), "-e", str(errors), "-g", "daemon off;"]
    _check(command)
    process = ManagedProcess("nginx", command, env=os.environ, log=folder / "nginx.log")
    address = (settings.edge_host, settings.edge_port)
    try:
        process.wait_until(lambda: _listens(address), seconds=START_SECONDS)
    except BaseException:
        process.stop(grace=2)
        raise
    return LocalEdge(process, f"http://{settings.edge_host}:{settings.edge_port}")


def _check(command: list[str]) -> None:
    """Let nginx read its configuration, whose mistakes a daemon would write into a log."""
    checked = subprocess.run(
        [*command[:-2], "-t"], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    if checked.returncode:
        raise StartFailed(f"nginx does not take its configuration:\n{checked.stderr}")


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
