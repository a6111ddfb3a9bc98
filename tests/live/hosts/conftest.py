"""Two hosts on one machine: all they share is PostgreSQL, Redis, the store and the nginx in front."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.components import store_address
from image_gateway.local.edge import LocalEdge, edge_environment, start_edge
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.seaweed import LocalStore
from image_gateway.local.worker import start_worker
from image_gateway.settings import load_settings
from tests.live.edge.conftest import Pair
from tests.support.databases import PostgresDatabases
from tests.support.nginx import require_nginx_or_skip
from tests.support.servers import RedisServer, running_postgres

PERMISSION_SECONDS = 1
# nginx keeps a permission for ACCESS_CACHE_SECONDS, and so does each gateway worker; clocks tick in seconds,
# and a busy machine may take some more. One that is kept for the time of a lease or a session takes minutes.
STATED = 2 * PERMISSION_SECONDS + 1 + 10
# Per user; no test makes more, but the one that is about it.
MOST_LEASES, MOST_IMAGES = 10, 8
CLAIM_SECONDS = 2


class Host:
    """A gateway with folders of its own, and a worker when it is asked for."""

    def __init__(self, folder: Path, port: int, environment: dict[str, str]) -> None:
        folder.mkdir()
        (folder / "tmp").mkdir()
        self.folder, self._port = folder, port
        self.environment = {
            **environment,
            "TMPDIR": str(folder / "tmp"),
            "RANGE_CACHE_DIR": str(folder / "cache"),
            "METRICS_PORT": str(find_free_ports(1)[0]),
        }
        self.gateway: LocalGateway
        self._workers: list[ManagedProcess] = []

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def log(self) -> str:
        return self.gateway.process.log.read_text()

    def start(self) -> None:
        self.gateway = start_gateway(
            {**os.environ, **self.environment},
            port=self._port,
            log=self.folder / "gateway.log",
            cwd=self.folder,
        )

    def start_worker(self) -> ManagedProcess:
        log = self.folder / f"worker-{len(self._workers)}.log"
        worker = start_worker({**os.environ, **self.environment}, log=log, cwd=self.folder)
        self._workers.append(worker)
        return worker

    def kill(self) -> None:
        for process in (self.gateway.process, *self._workers):
            process.kill()

    def client(self, user: str) -> GatewayClient:
        return GatewayClient(self.url, user)


@dataclass(frozen=True)
class Hosts:
    """Both hosts, and what they share."""

    first: Host
    second: Host
    edge: LocalEdge
    redis: RedisServer
    folder: Path

    def pair(self, host: Host) -> Pair:
        """A host and the nginx before both, as the tests of nginx take them."""
        return Pair(host.gateway, self.edge, host.environment, self.folder)


@pytest.fixture(scope="session")
def hosts(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    require_nginx_or_skip()
    folder = tmp_path_factory.mktemp("hosts")
    with ExitStack() as stack:
        databases = PostgresDatabases(stack.enter_context(running_postgres(folder)))
        stack.callback(databases.close)
        redis = RedisServer(folder)
        redis.start()
        stack.callback(redis.kill)
        database_url = databases.make_migrated()
        stack.callback(databases.drop, database_url)
        edge_folder = folder / "edge"
        edge_folder.mkdir()
        *ports, edge_port, internal_port = find_free_ports(4)
        environment = {
            **store.environment,
            **edge_environment(edge_folder, edge_port, internal_port),
            "DATABASE_URL": database_url,
            "RATE_LIMIT_STORAGE_URL": redis.url,
            "EDGE_GATEWAY": ",".join(f"127.0.0.1:{port}" for port in ports),
            "LEASE_KEYS": f"k1:{'1' * 40}",
            "WEB_WORKERS": "1",
            "WEB_THREADS": "16",
            "MULTIPART_PART_SIZE_BYTES": str(5 * 1024 * 1024),
            "ACCESS_CACHE_SECONDS": str(PERMISSION_SECONDS),
            "RATE_LIMIT_LEASES": f"{MOST_LEASES}/day",
            "QUOTA_IMAGES": str(MOST_IMAGES),
            "WORKER_CLAIM_SECONDS": str(CLAIM_SECONDS),
            "IMPORT_ALLOW_HTTP": "true",
            "IMPORT_ALLOW_PRIVATE": "true",
        }
        first, second = (
            Host(folder / f"host-{number}", port, environment) for number, port in enumerate(ports)
        )
        with ThreadPoolExecutor() as pool:
            list(pool.map(Host.start, (first, second)))
        for host in (first, second):
            stack.callback(host.kill)
        settings = load_settings(environment)
        edge = start_edge(settings, store_address(settings), edge_folder)
        stack.callback(edge.stop)
        yield Hosts(first, second, edge, redis, folder)


@pytest.fixture
def owner() -> str:
    return f"user-{uuid.uuid4()}"
