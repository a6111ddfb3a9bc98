"""Expand, then contract: programs of the revision before go on while newer ones have upgraded the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import Engine, text

from image_gateway.catalog.database import (
    _MIGRATIONS,
    SchemaOutdated,
    current_revision,
    newest_revision,
    open_engine,
    require_current,
    upgrade,
)
from image_gateway.catalog.migrations.compatibility import require_program
from image_gateway.catalog.properties import OLDEST_PROGRAM, read_property
from image_gateway.cli.main import cli
from tests.support.schema_changes import contractions, read_schema

REVISIONS = [script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()][::-1]
# From before the rule. 0008 gives the defaults that release 0.2.0 (revision 0004) needs. A check that allows
# more states is reported here as well.
HISTORICAL = {
    "0002": {
        *(f"images.{name}: must be given" for name in ("name", "kind", "visibility", "revision")),
        *(f"images.{name}: must be given" for name in ("reserved_bytes", "updated_at", "upload_expires_at")),
        "images: check ck_images_ck_images_state",
        "images: check ck_images_state",
    },
    "0004": {"leases.when_lapsed: must be given", "leases.chunks_from: must be given"},
    "0005": {
        "images.format: must be given",
        "leases.record: must be given",
        "images: check ck_images_ck_images_state",
        "images: check ck_images_state",
    },
}


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_database_url)
    yield engine
    engine.dispose()


def make_newer(engine: Engine, *, contract: bool) -> None:
    """Leave the tables as a later version may."""
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE images ADD COLUMN description VARCHAR(1000)"))
        if contract:
            with Operations.context(MigrationContext.configure(connection)):
                require_program("9998")
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))


def test_tables_of_a_newer_version_are_used_with_a_warning(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    make_newer(engine, contract=False)
    with caplog.at_level(logging.WARNING):
        require_current(engine)
    assert f"revision 9999, newer than this program's {newest_revision()}" in caplog.text


def test_tables_that_a_newer_version_has_contracted_are_refused(engine: Engine) -> None:
    make_newer(engine, contract=True)
    with pytest.raises(SchemaOutdated, match=r"9999, for programs of revision 9998 or newer"):
        require_current(engine)


def test_an_older_revision_is_refused(engine: Engine) -> None:
    upgrade(engine, REVISIONS[-2])
    with pytest.raises(SchemaOutdated, match="db upgrade"):
        require_current(engine)


def test_a_revision_that_is_no_number_is_refused(engine: Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'abcdef'"))
    with pytest.raises(SchemaOutdated, match="at revision abcdef"):
        require_current(engine)


@pytest.mark.parametrize("contract", [False, True])
def test_db_upgrade_by_the_older_version_changes_nothing(
    engine: Engine, empty_database_url: str, contract: bool
) -> None:
    make_newer(engine, contract=contract)
    variables = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "DATABASE_URL": empty_database_url}
    ended = CliRunner().invoke(cli, ["db", "upgrade"], env=variables)
    if contract:
        assert isinstance(ended.exception, SchemaOutdated)
    else:
        assert ended.output == f"tables: 9999, newer than {newest_revision()}: nothing to do\n"
    assert current_revision(engine) == "9999"


def test_every_upgrade_only_adds_or_says_that_older_programs_must_not_run(engine: Engine) -> None:
    upgrade(engine, REVISIONS[0])
    before = read_schema(engine)
    for revision in REVISIONS[1:]:
        upgrade(engine, revision)
        after = read_schema(engine)
        found = set(contractions(before, after)) - HISTORICAL.get(revision, set())
        before = after
        if not found:
            continue
        with engine.connect() as connection:
            oldest = read_property(connection, OLDEST_PROGRAM)
        assert oldest == revision, f"{revision} contracts without require_program: {sorted(found)}"


def test_what_older_programs_miss_is_found(engine: Engine) -> None:
    upgrade(engine)
    before = read_schema(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE writers"))
        connection.execute(text("ALTER TABLE jobs RENAME COLUMN worker TO host"))
        connection.execute(text("CREATE UNIQUE INDEX one_job ON jobs (image_id)"))
        connection.execute(text("DROP TABLE usage"))
        connection.execute(
            text(
                "CREATE TABLE usage (owner VARCHAR(64), images BIGINT NOT NULL, bytes BIGINT, x INT NOT NULL)"
            )
        )
    assert {
        "writers: dropped",
        "jobs.worker: dropped or renamed",
        "jobs: unique image_id",
        "usage.owner: VARCHAR(256) became VARCHAR(64)",
        "usage.x: must be given",
    } == set(contractions(before, read_schema(engine)))


def test_revisions_are_numbers_in_their_order() -> None:
    assert all(revision.isdecimal() and len(revision) == 4 for revision in REVISIONS)
    assert sorted(REVISIONS) == REVISIONS
