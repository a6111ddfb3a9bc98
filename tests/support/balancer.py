"""nginx as a plain load balancer: it forwards to the gateways in turn, and tries nothing twice.

It closes the idle connections of clients when it is reloaded: clients that must not notice send
`Connection: close`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from image_gateway.local.edge import require_nginx
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess

SECONDS = 20
# The header that says which gateway answered.
SERVED_BY = "X-Served-By"
_CONFIG = """
worker_processes 1;
pid {folder}/nginx.pid;
{user}
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream gateways {{ {servers} keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 4m;
        location = /-/generation {{ return 200 {generation}; }}
        location / {{
            proxy_pass http://gateways;
            proxy_http_version 1.1;
            proxy_next_upstream off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Connection "";
            add_header {served_by} $upstream_addr always;
        }}
    }}
}}
"""


class Balancer:
    """A running nginx and its URL."""

    def __init__(self, folder: Path, gateways: Sequence[str]) -> None:
        self._folder, self._generation = folder, 0
        [self._port] = find_free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._write(gateways)
        command = [require_nginx(), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        self._process = ManagedProcess(
            "nginx", [*command, "-g", "daemon off;"], env=os.environ, log=folder / "nginx.log"
        )
        self._process.wait_until(self._has_the_newest, seconds=SECONDS)

    def forward_to(self, *gateways: str) -> None:
        """Forward new requests to these gateways alone; those that are running go on."""
        self._write(gateways)
        os.kill(self._process.pid, signal.SIGHUP)
        deadline = time.monotonic() + SECONDS
        while not self._has_the_newest():
            assert time.monotonic() < deadline, (self._folder / "error.log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.kill()

    def _write(self, gateways: Sequence[str]) -> None:
        self._generation += 1
        text = _CONFIG.format(
            folder=self._folder,
            user="user root;" if os.geteuid() == 0 else "",
            servers=" ".join(f"server {urlsplit(url).netloc};" for url in gateways),
            port=self._port,
            generation=self._generation,
            served_by=SERVED_BY,
        )
        (self._folder / "nginx.conf").write_text(text)

    def _has_the_newest(self) -> bool:
        with urllib3.PoolManager(retries=False, timeout=5) as http:
            try:
                return int(http.request("GET", f"{self.url}/-/generation").data) == self._generation
            except HTTPError:
                return False


@contextmanager
def running_balancer(folder: Path, *gateways: str) -> Iterator[Balancer]:
    """Start nginx with its files in `folder`; `gateways` are URLs."""
    folder.mkdir(parents=True)
    balancer = Balancer(folder, gateways)
    try:
        yield balancer
    finally:
        balancer.stop()
