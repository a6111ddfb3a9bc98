"""`image-gateway sessions` over a catalog."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from image_gateway.catalog.repository import Catalog
from image_gateway.cli.main import cli
from image_gateway.domain.sessions import BrowserSession
from tests.support.clock import Clock

pytestmark = pytest.mark.database


@pytest.fixture
def two_sessions(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setenv("S3_BUCKET", "images")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr("image_gateway.cli.sessions.open_catalog", lambda _: catalog)
    now = Clock().at()
    session = BrowserSession("alice", "Alice", False, now, now, now + timedelta(days=1))
    catalog.sessions.add("a" * 64, session)
    catalog.sessions.add("b" * 64, replace(session, admin=True, expires_at=now))
    catalog.sessions.add("c" * 64, replace(session, user="bob"))
    return catalog


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sessions", *arguments], catch_exceptions=False)


def test_the_sessions_of_a_user_are_listed(two_sessions: Catalog) -> None:
    lines = run("list", "alice").output.splitlines()
    assert sorted(line.partition("UTC, ")[2].partition("UTC, ")[2][:7] for line in lines) == [
        "ends 20",
        "expired",
    ]
    assert [line.endswith(", admin") for line in lines].count(True) == 1
    assert run("list", "nobody\x1b[1m").output == "nobody\\x1b[1m has no sessions\n"


def test_all_sessions_of_a_user_are_ended(two_sessions: Catalog) -> None:
    assert run("end", "alice").output == "ended 2 sessions of alice\n"
    assert two_sessions.sessions.of_user("alice") == []
    assert len(two_sessions.sessions.of_user("bob")) == 1
