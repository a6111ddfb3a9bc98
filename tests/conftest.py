from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from botocore.loaders import JSONFileLoader
from moto.backends import get_backend
from werkzeug.routing import Rule
from xdist.remote import Producer

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.settings import Settings, load_settings
from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker, load_contract
from tests.support.databases import Databases, PostgresDatabases, SqliteDatabases, database_folder
from tests.support.moto_store import running_moto
from tests.support.scheduling import FileScheduling
from tests.support.world import World, make_world

# What is remembered of images and leases has tests of its own.
ENVIRONMENT = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "ACCESS_CACHE_SECONDS": "0"}

# A busy machine may be slow at any example; what must be fast says so itself.
hypothesis.settings.register_profile("unhurried", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("unhurried")
CATALOG_TESTS, SERVICE_TESTS = (Path(__file__).parent / name for name in ("catalog", "services"))
# What uses one of these needs a database.
DATABASE_FIXTURES = {"databases", "database_url", "empty_database_url"}


def pytest_configure() -> None:
    """Let child processes be interrupted: a shell's background job inherits SIGINT as ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of the catalog, and those of services that use it; elsewhere modules mark themselves."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        of_service = SERVICE_TESTS in item.path.parents and not DATABASE_FIXTURES.isdisjoint(fixtures)
        of_service &= item.get_closest_marker("any_database") is None
        if of_service or CATALOG_TESTS in item.path.parents:
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session", autouse=True)
def service_models_parsed_once() -> Iterator[None]:
    """Let all clients of the SDK share what it reads of S3 from its files, as those of one session do."""
    load = JSONFileLoader.load_file
    load_once = cache(lambda path: load(JSONFileLoader(), path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load_once(path))
        yield


@pytest.fixture(scope="session", autouse=True)
def routes_compiled_once() -> Iterator[None]:
    """Let all apps share what werkzeug compiles of each rule, which is a third of what an app costs."""
    compile_builder = Rule._compile_builder
    built: dict[tuple[str, bool, tuple[str, ...]], Callable[..., tuple[str, str]]] = {}

    def compile_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (rule.rule, append_unknown, tuple(sorted(map(repr, (rule.defaults or {}).items()))))
        if key not in built:
            built[key] = compile_builder(rule, append_unknown)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_once)
        yield


@pytest.fixture(scope="session")
def checker() -> ContractChecker:
    return ContractChecker(load_contract())


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        with database_folder() as folder:
            yield SqliteDatabases(folder)
        return
    postgres = PostgresDatabases(server)
    yield postgres
    postgres.close()


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    url = databases.make_empty()
    yield url
    databases.drop(url)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database with all tables and nothing in them."""
    url = databases.make_migrated()
    yield url
    databases.drop(url)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load_settings({**ENVIRONMENT, "DATABASE_URL": database_url})


@pytest.fixture
def catalog(database_url: str) -> Iterator[Catalog]:
    engine = open_engine(database_url)
    yield Catalog(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def moto_clients() -> Iterator[StoreClients]:
    """Clients of moto's S3, over HTTP in this process: objects are read as in production."""
    with running_moto() as address:
        yield StoreClients(address)


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
