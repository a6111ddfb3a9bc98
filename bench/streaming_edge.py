"""nginx as `image-gateway edge config` sets it up, with a cache, without one, and with an empty one."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from image_gateway.edge.config import render_config
from image_gateway.local.edge import START_SECONDS, edge_environment, require_nginx
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from image_gateway.settings import load_settings
from image_gateway.storage.client import StoreAddress

HOST = "127.0.0.1"
WORKERS = 2
FETCHES = "fetches.log"


@dataclass(frozen=True)
class Fetches:
    """Ranges that an edge fetched from the store since it was started with an empty cache."""

    total: int
    distinct: int


class Edge:
    """nginx before a gateway; `restart_empty` forgets everything that is cached.

    Args:
        environment: The variables of the gateway behind it; EDGE_TOKEN must be among them.
        count_fetches: Send what goes to the store by way of a further server of this nginx, which logs it.
    """

    def __init__(
        self, environment: Mapping[str, str], store: StoreAddress, folder: Path, *, count_fetches: bool
    ) -> None:
        self.port, internal_port, counting_port = find_free_ports(3)
        self._folder = folder
        place = edge_environment(folder, self.port, internal_port)
        # Last the gateway's token, and what the command line sets.
        settings = load_settings(place | {"EDGE_WORKERS": str(WORKERS)} | dict(environment))
        self._config = render_config(settings, store)
        if count_fetches:
            self._config = with_counter(self._config, store, folder / FETCHES, counting_port)
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.stop(grace=2)

    def restart_empty(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)
        self._process = self._start()

    def fetches(self) -> Fetches:
        ranges = (self._folder / FETCHES).read_text().splitlines()
        return Fetches(len(ranges), len(set(ranges)))

    def _start(self) -> ManagedProcess:
        self._folder.mkdir(parents=True)
        return run_nginx("edge", self._config, self._folder, self.port)


def run_nginx(name: str, config: str, folder: Path, port: int) -> ManagedProcess:
    """Start nginx over `folder` and return when it listens on the port; raises StartFailed."""
    file = folder / "nginx.conf"
    file.touch(mode=0o600)
    file.write_text(config)
    command = [require_nginx(), "-e", str(folder / "error.log"), "-c", str(file), "-g", "daemon off;"]
    process = ManagedProcess(name, command, env={}, log=folder / "nginx.log")
    try:
        process.wait_until(lambda: _listens(port), seconds=START_SECONDS)
    except BaseException:
        process.stop(grace=2)
        raise
    return process


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def with_counter(config: str, store: StoreAddress, log: Path, port: int) -> str:
    """Put a server that logs ranges between the caches of an nginx.conf and the store.

    nginx's own log cannot count them: it names the cache's answer about a request's first slice alone.
    """
    store_host = urlsplit(store.endpoint or "").netloc
    counted = config.replace(f"server {store_host};", f"server {HOST}:{port};")
    if counted == config or not counted.endswith("}\n"):
        raise AssertionError("the edge's configuration has changed: its upstream for the store is not found")
    return (
        counted.removesuffix("}\n")
        + f"""
    log_format fetch '$http_range';
    upstream counted_store {{
        server {store_host};
        keepalive 64;
    }}
    server {{
        listen {HOST}:{port};
        access_log {log} fetch;
        location / {{
            proxy_pass http://counted_store;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffers 16 64k;
            proxy_buffer_size 64k;
            proxy_busy_buffers_size 512k;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""
    )
