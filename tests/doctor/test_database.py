"""The database as the doctor sees it, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Row, inspect, text

from image_gateway.catalog.database import downgrade, newest_revision
from image_gateway.doctor.database import check_database
from image_gateway.domain.findings import Severity
from image_gateway.settings import Settings
from tests.doctor.conftest import examine_database as examine
from tests.support.findings import codes_of, only_finding

pytestmark = pytest.mark.database


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def rows_of(engine: Engine) -> dict[str, list[Row[Any]]]:
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        return {name: list(connection.execute(text(f"SELECT * FROM {name}"))) for name in names}


def test_a_healthy_database_has_no_finding(settings: Settings) -> None:
    checks = list(examine(settings))
    assert codes_of(checks) == []
    named = {check.name: check.detail for check in checks}
    assert named["schema"] == f"revision {newest_revision()}"
    assert {"connect", "version", "latency", "read and write, rolled back"} <= named.keys()


def test_a_database_without_tables(settings: Settings, empty_database_url: str) -> None:
    finding = only_finding(examine(replace(settings, database_url=empty_database_url)))
    assert finding.code == "database-schema-outdated"
    assert "image-gateway db upgrade" in finding.remedy


def test_tables_of_an_older_version(settings: Settings, engine: Engine) -> None:
    downgrade(engine, "0005")
    finding = only_finding(examine(settings))
    assert finding.code == "database-schema-outdated"
    needed = f"this program needs {newest_revision()}: run `image-gateway db upgrade`"
    assert finding.what == f"the tables are at revision 0005, {needed}"


def test_tables_of_a_newer_version(settings: Settings, engine: Engine) -> None:
    change(engine, "UPDATE alembic_version SET version_num = '9999'")
    finding = only_finding(examine(settings))
    assert (finding.code, finding.severity) == ("database-schema-newer", Severity.WARNING)
    assert "revision 9999, newer than this program's" in finding.what


def test_tables_of_a_newer_version_that_forbids_this_one(settings: Settings, engine: Engine) -> None:
    change(engine, "UPDATE alembic_version SET version_num = '9999'")
    change(engine, "UPDATE catalog_properties SET value = '9998' WHERE name = 'oldest_program'")
    finding = only_finding(examine(settings))
    assert (finding.code, finding.severity) == ("database-schema-newer", Severity.BROKEN)
    assert "for programs of revision 9998 or newer" in finding.what


def test_a_column_that_somebody_removed(settings: Settings, engine: Engine) -> None:
    change(engine, "ALTER TABLE audit_entries DROP COLUMN user_id")
    assert codes_of(examine(settings)) == ["broken database-rights", "broken database-drift"]


def test_a_table_of_another_program(settings: Settings, engine: Engine) -> None:
    change(engine, "CREATE TABLE visitors (name VARCHAR(10))")
    checks = list(examine(settings))
    assert codes_of(checks) == ["warning database-drift"]
    assert "remove table visitors" in only_finding(checks).what


def test_a_slow_database(settings: Settings) -> None:
    ticks = count()
    checks = list(check_database(settings, timer=lambda: next(ticks) * 0.03))
    assert codes_of(checks) == ["warning database-slow"]
    assert only_finding(checks).what == "SELECT 1 takes 30 ms; more than 20 ms"


def test_the_checks_change_nothing(settings: Settings, engine: Engine) -> None:
    change(
        engine,
        "INSERT INTO audit_entries (entry_id, image_id, created_at, event, details) "
        "VALUES ('e', 'i', '2026-01-02 03:04:05', 'deleted', '{}')",
    )
    before = rows_of(engine)
    assert codes_of(examine(settings)) == []
    assert rows_of(engine) == before
    assert before["audit_entries"]


def test_a_missing_file_is_not_made(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "new" / "catalog.db"
    finding = only_finding(examine(replace(settings, database_url=f"sqlite:///{path}")))
    assert finding.code == "database-schema-outdated"
    assert not path.parent.exists()
