"""Roles, limits and rights of a real PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, make_url, text

from image_gateway.doctor.database_server import connections_needed
from image_gateway.settings import Settings
from tests.doctor.conftest import examine_database as examine
from tests.support.findings import codes_of, only_finding

pytestmark = pytest.mark.database


@pytest.fixture
def role(engine: Engine) -> Iterator[str]:
    name = f"gateway_{uuid.uuid4().hex}"
    change(engine, f"CREATE ROLE {name} LOGIN")
    yield name
    change(engine, f"DROP OWNED BY {name}")
    change(engine, f"DROP ROLE {name}")


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def allow_all(engine: Engine, role: str) -> None:
    change(engine, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")


def with_url(settings: Settings, **changes: str) -> Settings:
    url = make_url(settings.database_url).set(**changes)
    return replace(settings, database_url=url.render_as_string(hide_password=False))


def test_a_role_with_the_documented_rights_is_enough(settings: Settings, engine: Engine, role: str) -> None:
    allow_all(engine, role)
    assert codes_of(examine(with_url(settings, username=role))) == []


def test_a_role_without_rights_on_one_table(settings: Settings, engine: Engine, role: str) -> None:
    allow_all(engine, role)
    change(engine, f"REVOKE DELETE ON images FROM {role}")
    finding = only_finding(examine(with_url(settings, username=role)))
    assert finding.code == "database-rights"
    assert finding.what.startswith("DELETE FROM images failed: ")
    assert "permission denied" in finding.what


def test_a_role_without_any_rights(settings: Settings, role: str) -> None:
    assert codes_of(examine(with_url(settings, username=role))) == ["broken database-schema-unreadable"]


def test_a_role_with_fewer_connections_than_one_gateway_opens(
    settings: Settings, engine: Engine, role: str
) -> None:
    allow_all(engine, role)
    change(engine, f"ALTER ROLE {role} CONNECTION LIMIT {connections_needed(settings) - 1}")
    finding = only_finding(examine(with_url(settings, username=role)))
    assert finding.code == "database-few-connections"
    assert finding.severity == "broken"
    change(engine, f"ALTER ROLE {role} CONNECTION LIMIT {connections_needed(settings)}")
    assert codes_of(examine(with_url(settings, username=role))) == []


def test_a_database_whose_connections_are_in_use(settings: Settings, engine: Engine, role: str) -> None:
    allow_all(engine, role)
    name = make_url(settings.database_url).database
    # The test's own connection counts, too.
    change(engine, f'ALTER DATABASE "{name}" CONNECTION LIMIT {connections_needed(settings)}')
    finding = only_finding(examine(with_url(settings, username=role)))
    assert (finding.code, finding.severity) == ("database-few-connections", "warning")


def test_a_role_with_no_connection_left(settings: Settings, engine: Engine, role: str) -> None:
    change(engine, f"ALTER ROLE {role} CONNECTION LIMIT 0")
    found = codes_of(examine(with_url(settings, username=role)))
    assert found == ["broken database-connections-used-up"]


def test_a_role_that_may_not_log_in(settings: Settings, engine: Engine, role: str) -> None:
    change(engine, f"ALTER ROLE {role} NOLOGIN")
    found = codes_of(examine(with_url(settings, username=role)))
    assert found == ["broken database-authentication"]


def test_a_database_that_does_not_exist(settings: Settings) -> None:
    found = codes_of(examine(with_url(settings, database="nowhere")))
    assert found == ["broken database-name-unknown"]


def test_a_server_without_tls(settings: Settings) -> None:
    url = f"{settings.database_url}?sslmode=require"
    assert codes_of(examine(replace(settings, database_url=url))) == ["broken database-tls"]


def test_a_role_that_only_reads(settings: Settings, engine: Engine, role: str) -> None:
    allow_all(engine, role)
    change(engine, f"ALTER ROLE {role} SET default_transaction_read_only = on")
    found = codes_of(examine(with_url(settings, username=role)))
    assert found == ["broken database-read-only", "broken database-rights"]


def test_options_that_turn_the_statement_timeout_off(settings: Settings) -> None:
    url = f"{settings.database_url}?options=-c%20statement_timeout%3D0"
    found = codes_of(examine(replace(settings, database_url=url)))
    assert found == ["warning database-statement-timeout"]


def test_a_clock_that_is_wrong(settings: Settings) -> None:
    found = only_finding(examine(settings, clock=lambda: 1_000_000_000.0))
    assert found.code == "database-clock-skew"
    assert "ahead of this machine's" in found.what
