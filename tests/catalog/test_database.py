"""Engines and migrations."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from image_gateway.catalog.database import (
    DatabaseUrlError,
    SchemaOutdated,
    check_drift,
    current_revision,
    newest_revision,
    open_engine,
    require_current,
    upgrade,
)
from image_gateway.errors import CatalogUnavailable


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(f"sqlite:///{tmp_path}/new/folder/catalog.db")


def test_upgrade_from_nothing_and_again(engine: Engine) -> None:
    assert current_revision(engine) is None
    with pytest.raises(SchemaOutdated, match="db upgrade"):
        require_current(engine)
    upgrade(engine)
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
    require_current(engine)


def test_the_models_and_the_tables_agree(engine: Engine) -> None:
    upgrade(engine)
    check_drift(engine)


def test_sqlite_uses_wal_and_waits(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 15_000
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("not a url", "not a database URL"),
        ("unknowndb://x/y", "not a database URL"),
        ("mysql+mysqldb://u:hunter2@h/d", "needs the driver"),
        ("sqlite:////proc/nowhere/catalog.db", "cannot be made"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, text: str) -> None:
    with pytest.raises(DatabaseUrlError, match=text) as caught:
        open_engine(url)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_does_not_answer(engine: Engine) -> None:
    postgres = open_engine("postgresql+psycopg://u:hunter2@127.0.0.1:1/d")
    with pytest.raises(CatalogUnavailable) as caught:
        require_current(postgres)
    assert "hunter2" not in str(caught.value)
