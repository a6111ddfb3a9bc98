"""What the doctor makes of a PostgreSQL server's answers, and of servers that give none."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from image_gateway.catalog.inspection import PostgresFacts, SqliteFacts
from image_gateway.doctor.database import check_database
from image_gateway.doctor.database_connection import explain_connection_failure
from image_gateway.doctor.database_file import check_sqlite
from image_gateway.doctor.database_server import check_postgres, connections_needed
from image_gateway.local.ports import find_free_ports
from tests.support.black_hole import black_hole
from tests.support.environments import load
from tests.support.findings import codes_of, only_finding

GOOD = PostgresFacts(
    version=150_004,
    standby=False,
    read_only=False,
    connection_limit=97,
    connections_in_use=3,
    statement_timeout_ms=10_000,
    clock_ahead_seconds=0.2,
    clock_error_seconds=0.001,
)
PASSWORD = "sesame-of-postgres"


def postgres_url(port: int, host: str = "127.0.0.1") -> str:
    return f"postgresql+psycopg://gateway:{PASSWORD}@{host}:{port}/images"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"version": 130_009}, "warning database-version"),
        ({"standby": True, "read_only": True}, "broken database-read-only"),
        ({"read_only": True}, "broken database-read-only"),
        ({"connection_limit": 20}, "broken database-few-connections"),
        ({"connections_in_use": 90}, "warning database-few-connections"),
        ({"clock_ahead_seconds": -6.0}, "warning database-clock-skew"),
        ({"clock_ahead_seconds": 6.0, "clock_error_seconds": 1.5}, None),
        ({"statement_timeout_ms": 0}, "warning database-statement-timeout"),
        ({"statement_timeout_ms": 60_000}, "warning database-statement-timeout"),
    ],
)
def test_answers_of_a_server(change: dict[str, object], code: str | None) -> None:
    facts = replace(GOOD, **change)
    assert codes_of(check_postgres(facts, load())) == ([code] if code else [])


def test_connections_grow_with_workers_but_hardly_with_threads() -> None:
    one = connections_needed(load(WEB_WORKERS="1"))
    assert connections_needed(load(WEB_WORKERS="3")) == one + 20
    assert connections_needed(load(WEB_WORKERS="1", WEB_THREADS="1024")) == one
    assert connections_needed(load(WEB_WORKERS="1", WEB_THREADS="2")) == one - 3


def test_a_closed_port() -> None:
    (port,) = find_free_ports(1)
    finding = only_finding(check_database(load(DATABASE_URL=postgres_url(port))))
    assert finding.code == "database-refused"
    place = f"DATABASE_URL=postgresql+psycopg://********@127.0.0.1:{port}/images"
    assert finding.what == f"{place} refuses connections"


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.catalog.postgres.CONNECT_SECONDS", 1)
    with black_hole() as hole:
        found = codes_of(check_database(load(DATABASE_URL=postgres_url(hole.port))))
    assert found == ["broken database-timeout"]


def test_a_host_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    found = codes_of(check_database(load(DATABASE_URL=postgres_url(5432, "nowhere.invalid"))))
    assert found == ["broken database-host-unknown"]


@pytest.fixture
def failed() -> Callable[[str], DBAPIError]:
    return lambda message: DBAPIError(None, None, Exception(message))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('FATAL:  password authentication failed for user "gateway"', "database-authentication"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7"', "database-authentication"),
        ("FATAL:  sorry, too many clients already", "database-connections-used-up"),
        ("connection timeout expired", "database-timeout"),
        ("FATAL:  unsupported startup parameter: options", "database-pgbouncer"),
        ("SSL error: certificate verify failed", "database-tls"),
        ('FATAL:  database "images" does not exist', "database-name-unknown"),
        ("FATAL:  the database system is starting up", "database-unusable"),
    ],
)
def test_messages_of_servers(failed: Callable[[str], DBAPIError], message: str, code: str) -> None:
    settings = load(DATABASE_URL=postgres_url(5432))
    assert explain_connection_failure(settings, failed(message)).code == code


def test_a_message_that_repeats_the_password(failed: Callable[[str], DBAPIError]) -> None:
    url = f"{postgres_url(5432)}?options=-c%20secret.word%3Dpineapple"
    message = f'FATAL: "-c secret.word=pineapple" is wrong, gateway {PASSWORD}'
    finding = explain_connection_failure(load(DATABASE_URL=url), failed(message))
    assert finding.what.endswith('cannot be used: FATAL: "[masked]" is wrong, [masked] [masked]')


def test_a_password_with_an_at_sign(failed: Callable[[str], DBAPIError]) -> None:
    settings = load(DATABASE_URL="postgresql+psycopg://gateway:sesame@opens@127.0.0.1:1/images")
    message = "could not parse opens@127.0.0.1"
    finding = explain_connection_failure(settings, failed(message))
    assert "opens" not in str(finding)
    assert "opens" not in str(list(check_database(settings)))


@pytest.mark.parametrize(
    "url", ["mysql://root:pineapple@db/images", "pineapple", "postgresql+none://u:pineapple@h/d"]
)
def test_a_url_of_no_database(url: str) -> None:
    finding = only_finding(check_database(load(DATABASE_URL=url)))
    assert finding.code == "database-url-invalid"
    assert "pineapple" not in finding.what


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    settings = load(DATABASE_URL=f"sqlite:///{tmp_path}/data/catalog.db")
    finding = only_finding(check_database(settings))
    assert finding.code == "database-folder-unwritable"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database" * 100)
    checks = list(check_database(load(DATABASE_URL=f"sqlite:///{tmp_path}/catalog.db")))
    assert codes_of(checks) == ["broken database-unusable"]
    (finding,) = checks[-1].findings
    assert "file is not a database" in finding.what
    assert finding.remedy == "set DATABASE_URL to the catalog's file, or restore that file from a backup"


def test_a_file_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.doctor.database_file.file_system_of", lambda _: "nfs4")
    found = codes_of(check_database(load(DATABASE_URL=f"sqlite:///{tmp_path}/catalog.db")))
    assert found == ["broken database-schema-outdated", "warning database-sqlite-network"]


def test_an_old_sqlite_and_one_without_wal() -> None:
    assert codes_of(check_sqlite(SqliteFacts((3, 40, 1), "wal"))) == []
    assert codes_of(check_sqlite(SqliteFacts((3, 22, 0), "wal"))) == ["broken database-version"]
    assert codes_of(check_sqlite(SqliteFacts((3, 40, 1), "delete"))) == ["broken database-sqlite-journal"]
