from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.settings import Settings, load_settings
from tests.support.contract import ContractChecker, load_contract
from tests.support.world import World, make_world

ENVIRONMENT = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def checker() -> ContractChecker:
    return ContractChecker(load_contract())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{tmp_path}/catalog.db"})


@pytest.fixture
def catalog(settings: Settings) -> Iterator[Catalog]:
    engine = open_engine(settings.database_url)
    upgrade(engine)
    yield Catalog(engine)
    engine.dispose()


@pytest.fixture
def moto_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    with mock_aws():
        yield


@pytest.fixture
def world(settings: Settings, catalog: Catalog, checker: ContractChecker, moto_s3: None) -> World:
    return make_world(settings, catalog, checker)
