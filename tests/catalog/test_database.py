"""Engines and migrations, on SQLite and on PostgreSQL when TEST_DATABASE_URL names one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text

from image_gateway.catalog.database import (
    DatabaseUrlError,
    SchemaOutdated,
    check_drift,
    current_revision,
    downgrade,
    newest_revision,
    open_engine,
    require_current,
    upgrade,
)
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState, Usage
from image_gateway.domain.jobs import JobKind, JobState, new_job
from image_gateway.errors import CatalogUnavailable
from tests.support.documents import ROOT
from tests.support.records import NOW

OLD_IMAGE = {
    "owner": "alice",
    "base_path": "/images",
    "version": "v",
    "part_size": 5,
    "upload_id": "u",
    "created_at": NOW,
}


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_upgrade_from_nothing_and_again(engine: Engine) -> None:
    assert current_revision(engine) is None
    with pytest.raises(SchemaOutdated, match="db upgrade"):
        require_current(engine)
    upgrade(engine)
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
    require_current(engine)


def test_two_processes_upgrade_at_once(engine: Engine, empty_database_url: str) -> None:
    code = "import sys; from image_gateway.catalog.database import *; upgrade(open_engine(sys.argv[1]))"
    command = [sys.executable, "-c", code, empty_database_url]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    require_current(engine)


def test_the_models_and_the_tables_agree(engine: Engine) -> None:
    upgrade(engine)
    check_drift(engine)


def add_old_images(engine: Engine) -> None:
    """Two images as the first release wrote them."""
    from sqlalchemy import MetaData, Table

    images = Table("images", MetaData(), autoload_with=engine)
    complete = {"disk_size": 70, "disk_etag": '"e"', "disk_last_modified": NOW}
    with engine.begin() as connection:
        connection.execute(insert(images).values(image_id="a", state="uploading", **OLD_IMAGE))
        connection.execute(insert(images).values(image_id="b", state="complete", **OLD_IMAGE, **complete))


def test_upgrade_from_the_first_release_keeps_its_images(engine: Engine) -> None:
    upgrade(engine, "0001")
    add_old_images(engine)
    upgrade(engine)
    check_drift(engine)
    catalog = Catalog(engine)
    uploading, complete = catalog.find("a"), catalog.find("b")
    assert uploading is not None
    assert complete is not None
    assert (uploading.state, uploading.updated_at, uploading.revision) == (ImageState.UPLOADING, NOW, 1)
    assert uploading.plan.expires_at > NOW
    assert complete.disk is not None
    assert (complete.disk.size, complete.reserved_bytes) == (70, 70)
    assert catalog.usage("alice") == Usage(2, 70)


def test_down_and_up_again(engine: Engine) -> None:
    upgrade(engine, "0001")
    add_old_images(engine)
    upgrade(engine)
    Catalog(engine).delete("a", NOW)
    downgrade(engine, "0001")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT image_id FROM images")).scalars().all() == ["b"]
    upgrade(engine)
    assert Catalog(engine).usage("alice") == Usage(1, 70)


def test_sqlite_uses_wal_and_waits(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/new/folder/catalog.db")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 15_000
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("not a url", "not a database URL"),
        ("unknowndb://x/y", "must be a sqlite or postgresql URL"),
        ("mysql+mysqldb://u:hunter2@h/d", "must be a sqlite or postgresql URL"),
        ("postgresql+psycopg2://u:hunter2@h/d", "needs the driver"),
        ("sqlite:////proc/nowhere/catalog.db", "cannot be created"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, text: str) -> None:
    with pytest.raises(DatabaseUrlError, match=text) as caught:
        open_engine(url)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_does_not_answer() -> None:
    postgres = open_engine("postgresql+psycopg://u:hunter2@127.0.0.1:1/d")
    with pytest.raises(CatalogUnavailable) as caught:
        require_current(postgres)
    assert "hunter2" not in str(caught.value)


def test_an_index_that_was_created_before_the_upgrade_is_kept(engine: Engine) -> None:
    """On PostgreSQL by CREATE INDEX CONCURRENTLY, so that no write waits for the upgrade."""
    guide = (ROOT / "docs/how-to/postgresql.md").read_text()
    statements = re.findall(r"CREATE INDEX CONCURRENTLY [^;]+;", guide)
    upgrade(engine, "0006")
    on_sqlite = engine.dialect.name == "sqlite"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", sqlite_begin=None) as connection:
        for statement in statements:
            connection.execute(text(statement.replace("CONCURRENTLY ", "") if on_sqlite else statement))
    assert len(statements) == 2
    upgrade(engine)
    check_drift(engine)


def test_jobs_that_ended_before_the_upgrade_are_counted(engine: Engine) -> None:
    upgrade(engine)
    catalog = Catalog(engine)
    for _ in range(3):
        catalog.jobs.add(replace(new_job("a", JobKind.PUBLISH, NOW), state=JobState.DONE, seconds=2.0))
    catalog.jobs.add(new_job("a", JobKind.VERIFY, NOW))
    downgrade(engine, "0006")
    upgrade(engine)
    counted = [("publish", "done", 3, 6.0), ("verify", "queued", 1, 0.0)]
    assert sorted(catalog.jobs.count()) == counted
