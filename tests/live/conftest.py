"""One real store for all live tests, and gateways over it as real gunicorn processes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from image_gateway.client.api import GatewayClient
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import LocalStore, start_local_store
from image_gateway.storage.bucket import BucketSetup
from image_gateway.storage.client import StoreClients
from tests.support.chromium import running_chromium
from tests.support.databases import Databases

StartGateway = Callable[..., LocalGateway]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    running = start_local_store(tmp_path_factory.mktemp("store"), bucket="images")
    assert [
        step for step in BucketSetup(StoreClients(running.address), ("*",)).run() if step.outcome == "failed"
    ] == []
    yield running
    running.stop()


@pytest.fixture(scope="session")
def database_url(databases: Databases) -> Iterator[str]:
    url = databases.make_migrated()
    yield url
    databases.drop(url)


@pytest.fixture
def own_database(databases: Databases) -> Iterator[str]:
    """A catalog for a test that uses another bucket: a catalog describes one."""
    url = databases.make_migrated()
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def environment(store: LocalStore, database_url: str) -> dict[str, str]:
    """The variables of a gateway over the shared store and catalog."""
    return {
        **store.environment,
        "DATABASE_URL": database_url,
        "WEB_WORKERS": "2",
        "WEB_THREADS": "8",
        "MULTIPART_PART_SIZE_BYTES": str(5 * 1024 * 1024),
        "LOG_LEVEL": "debug",
    }


@pytest.fixture(scope="session")
def gateway(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGateway]:
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    running = start_gateway({**os.environ, **environment}, port=find_free_ports(1)[0], log=log)
    yield running
    # At once, as everywhere here: a graceful end takes seconds, and test_shutdown.py tests it.
    running.process.kill()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser of this process; each test makes its own context in it."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[StartGateway]:
    """Starts more gateways, with changed variables; they end with the test."""
    started: list[LocalGateway] = []

    def start_another(port: int | None = None, **changes: str) -> LocalGateway:
        log = tmp_path / f"gateway-{len(started)}.log"
        another = start_gateway(
            {**os.environ, **environment, **changes}, port=port or find_free_ports(1)[0], log=log
        )
        started.append(another)
        return another

    yield start_another
    for running in started:
        running.process.kill()


@pytest.fixture
def client(gateway: LocalGateway) -> GatewayClient:
    return GatewayClient(gateway.url, f"user-{uuid.uuid4()}")
