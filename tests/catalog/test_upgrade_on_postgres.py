"""Upgrading a PostgreSQL that is in use: requests and the upgrade never wait for each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from alembic.util.exc import CommandError
from sqlalchemy import Engine, text

from image_gateway.catalog.database import current_revision, newest_revision, open_engine, upgrade

pytestmark = pytest.mark.database
# Of this database only: the server has those of other tests, too.
WAITS_FOR_IMAGES = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('images' AS regclass)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_database_url)
    upgrade(engine, "0006")
    yield engine
    engine.dispose()


def wait_for_upgrade(engine: Engine) -> None:
    """Wait until the upgrade waits for a lock of the table."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(WAITS_FOR_IMAGES).scalar_one():
                return
        time.sleep(0.02)
    raise AssertionError("the upgrade did not wait for the table")


def test_a_request_that_has_locked_an_image_may_still_change_it(engine: Engine) -> None:
    """Creating an index allows SELECT FOR UPDATE, and not UPDATE; a later step allows neither."""
    upgrading = threading.Thread(target=upgrade, args=[engine])
    with engine.begin() as request:
        request.execute(text("SELECT image_id FROM images FOR UPDATE"))
        upgrading.start()
        wait_for_upgrade(engine)
        request.execute(text("UPDATE images SET name = 'another'"))
    upgrading.join(30)
    assert current_revision(engine) == newest_revision()


def test_an_index_that_was_left_invalid_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("CREATE INDEX ix_images_complete ON images (image_id) WHERE state = 'complete'")
        )
        # As CREATE INDEX CONCURRENTLY leaves it when it fails.
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = CAST('ix_images_complete' AS regclass)"
            )
        )
    with pytest.raises(CommandError, match="DROP INDEX CONCURRENTLY ix_images_complete"):
        upgrade(engine)
    assert current_revision(engine) == "0006"
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_images_complete"))
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
