"""One stack and one Chromium for all tests of the console; a browser context of its own for each test."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.local.seaweed import LocalStore
from tests.support.console_browser import ARTIFACTS, TIMEOUT_SECONDS, ConsoleBrowser
from tests.support.console_stack import (
    Console,
    OidcConsole,
    console_settings,
    new_flow,
    running_console,
    running_oidc_console,
)
from tests.support.databases import Databases
from tests.support.sample_disks import SampleDisks

OpenBrowser = Callable[..., ConsoleBrowser]
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note failures for the end of fixtures."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def console_environment(
    store: LocalStore, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The variables of a gateway with a catalog of its own: its worker takes no jobs of other tests."""
    url = databases.make_migrated()
    settings = console_settings(tmp_path_factory.mktemp("v86"))
    yield {**os.environ, **store.environment, **settings, "DATABASE_URL": url}
    databases.drop(url)


@pytest.fixture(scope="session")
def console_catalog(console_environment: dict[str, str]) -> Iterator[Catalog]:
    """The catalog of the gateways, for what tests need and no page does."""
    engine = open_engine(console_environment["DATABASE_URL"])
    yield Catalog(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def console_stack(
    console_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """The stack that signs in by name (AUTH_MODE=dev)."""
    with running_console(console_environment, tmp_path_factory.mktemp("console")) as console:
        yield console


@pytest.fixture(scope="session")
def _oidc_console(
    console_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OidcConsole]:
    with running_oidc_console(console_environment, tmp_path_factory.mktemp("oidc")) as console:
        yield console


@pytest.fixture
def oidc(_oidc_console: OidcConsole) -> OidcConsole:
    """A gateway over the same store and catalog that signs in at an issuer, which behaves well at first."""
    flow = new_flow(_oidc_console.provider)
    flow.register(_oidc_console.url)
    return replace(_oidc_console, flow=flow)


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> SampleDisks:
    return SampleDisks(tmp_path_factory.mktemp("disks"))


@pytest.fixture
def artifacts(request: pytest.FixtureRequest) -> Path:
    """The folder for what a failed test leaves behind; it may not exist."""
    return ARTIFACTS / re.sub(r"[^\w.-]+", "-", f"{request.path.stem}-{request.node.name}")


@pytest.fixture
def open_browser(
    request: pytest.FixtureRequest, chromium: Browser, console_stack: Console, artifacts: Path
) -> Iterator[OpenBrowser]:
    """Open more browsers: `open_browser(user=None, url=None, **options of a context)`.

    Each one must have had no problem at the end of the test but those it was to expect. If it had, or if the
    test failed, `artifacts` has traces, pictures of all pages, and what the gateway and the worker logged.
    """
    expect.set_options(timeout=TIMEOUT_SECONDS * 1000)
    before = {log: log.stat().st_size for log in console_stack.logs}
    opened: list[ConsoleBrowser] = []

    def open_another(user: str | None = None, url: str | None = None, **options: object) -> ConsoleBrowser:
        browser = ConsoleBrowser(chromium, url or console_stack.url, options)
        opened.append(browser)
        if user is not None:
            browser.sign_in(user)
        return browser

    yield open_another
    complaints = [complaint for browser in opened for complaint in browser.problems.complaints()]
    keep = bool(complaints) or request.node.stash.get(FAILED, False)
    for number, browser in enumerate(opened):
        browser.close(artifacts / f"browser-{number}" if keep else None)
    if keep:
        artifacts.mkdir(parents=True, exist_ok=True)
        for log, size in before.items():
            (artifacts / log.name).write_bytes(log.read_bytes()[size:])
    assert complaints == []


@pytest.fixture
def console(open_browser: OpenBrowser) -> ConsoleBrowser:
    """A browser in which a new user has signed in."""
    return open_browser(user=f"ann-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def stranger(open_browser: OpenBrowser) -> ConsoleBrowser:
    """A browser in which nobody has signed in."""
    browser = open_browser()
    # Pages ask who is signed in.
    browser.problems.allow(r"status of 401 .*/v1/me\)$")
    return browser
