from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws
from moto.backends import get_backend

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.settings import Settings, load_settings
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.support.contract import ContractChecker, load_contract
from tests.support.world import World, make_world

ENVIRONMENT = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def checker() -> ContractChecker:
    return ContractChecker(load_contract())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{tmp_path}/catalog.db"})


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalog with its tables made, to be copied."""
    path = tmp_path_factory.mktemp("template") / "catalog.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def catalog(settings: Settings, migrated_database: Path, tmp_path: Path) -> Iterator[Catalog]:
    shutil.copy(migrated_database, tmp_path / "catalog.db")
    engine = open_engine(settings.database_url)
    yield Catalog(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def moto_clients() -> Iterator[StoreClients]:
    """Clients of a mocked S3; making them is the slow part, so they are shared."""
    address = StoreAddress(ENVIRONMENT["S3_BUCKET"], ENVIRONMENT["AWS_REGION"], credentials=("key", "secret"))
    with mock_aws():
        clients = StoreClients(address)
        assert clients.requests
        yield clients


@pytest.fixture
def clients(moto_clients: StoreClients) -> StoreClients:
    """The shared clients with nothing in S3 but an empty bucket."""
    for backends in get_backend("s3").values():
        for backend in backends.values():
            backend.reset()
    moto_clients.requests.create_bucket(Bucket=moto_clients.address.bucket)
    return moto_clients


@pytest.fixture
def world(settings: Settings, catalog: Catalog, checker: ContractChecker, clients: StoreClients) -> World:
    return make_world(settings, catalog, checker, clients)
