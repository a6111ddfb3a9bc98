"""Each revision with a row in every table: today's program reads all rows after the upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table, insert, inspect, select

from image_gateway.catalog.database import _MIGRATIONS, open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from tests.support.records import IMAGE_ID, NOW

pytestmark = pytest.mark.database
REVISIONS = [script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()][::-1]
LATER = NOW + timedelta(days=1)
# By the revision that added it.
STATES = {"uploading": "0001", "complete": "0001", "failed": "0002", "deleted": "0002", "processing": "0005"}
IMAGE = {
    "owner": "alice",
    "base_path": "/images",
    "version": "f" * 16,
    "name": "a disk",
    "kind": "iso",
    "visibility": "shared",
    "revision": 7,
    "reserved_bytes": 70,
    "created_at": NOW,
    "updated_at": LATER,
    "upload_id": "u1",
    "part_size": 5,
    "upload_expires_at": LATER,
    "disk_size": 70,
    "disk_etag": '"e"',
    "disk_last_modified": NOW,
    "format": "raw",
}
ROWS: dict[str, dict[str, Any]] = {
    "usage": {"owner": "alice", "images": 3, "bytes": 210},
    "shares": {"image_id": IMAGE_ID, "user_id": "bob", "permission": "read", "created_at": NOW},
    "share_links": {
        "link_id": "l1",
        "image_id": IMAGE_ID,
        "token_sha256": "0" * 64,
        "created_at": NOW,
        "uses": 2,
        "label": "for Carol",
    },
    "leases": {
        "lease_id": "e1",
        "image_id": IMAGE_ID,
        "version": "f" * 16,
        "scopes": "disk:read",
        "holder": "user:alice",
        "created_at": NOW,
        "ttl_seconds": 60,
        "expires_at": LATER,
        "session_ends_at": LATER,
        "when_lapsed": "wait",
        "chunks_from": "gateway",
        "record": False,
    },
    "writers": {"writer_id": "w1", "image_id": IMAGE_ID, "expires_at": LATER},
    "jobs": {
        "job_id": "j1",
        "image_id": IMAGE_ID,
        "kind": "publish",
        "state": "queued",
        "params": "{}",
        "checkpoint": "{}",
        "attempt": 1,
        "bytes_done": 0,
        "created_at": NOW,
        "run_after": NOW,
    },
    "job_totals": {"kind": "publish", "state": "done", "jobs": 3, "seconds": 1.5},
    "boot_traces": {"image_id": IMAGE_ID, "version": "f" * 16, "blocks": "[]", "created_at": NOW},
    "browser_sessions": {
        "session_sha256": "0" * 64,
        "user_id": "alice",
        "display_name": "Alice",
        "admin": False,
        "created_at": NOW,
        "last_used_at": NOW,
        "expires_at": LATER,
    },
    "deltas": {
        "delta_id": "d1",
        "image_id": IMAGE_ID,
        "version": "f" * 16,
        "disk_size": 70,
        "owner": "alice",
        "name": "a delta",
        "block_size": 4096,
        "created_at": NOW,
        "updated_at": LATER,
        "generation": 1,
        "epoch": 2,
        "state": "active",
        "live_bytes": 0,
        "stored_bytes": 4132,
        "checkpoint_generation": 0,
        "checkpoint_size": 0,
        "recent_extents": 0,
        "reset_generation": 0,
    },
    "delta_commits": {
        "delta_id": "d1",
        "generation": 1,
        "epoch": 2,
        "kind": "commit",
        "name": "00000002-000000000001-0123456789abcdef.seg",
        "size": 4132,
        "etag": '"e"',
        "extents": 1,
        "blocks": 1,
        "sha256": "0" * 64,
        "idempotency_key": "k1",
        "created_at": NOW,
        "checkpointed": False,
    },
    "delta_snapshots": {
        "snapshot_id": "s1",
        "delta_id": "d1",
        "name": "before",
        "generation": 1,
        "checkpoint": "000000000001-0123456789abcdef.map",
        "size": 99,
        "created_at": NOW,
    },
    "delta_retired_objects": {"delta_id": "d1", "name": "old.seg", "size": 4132, "retired_at": NOW},
    "audit_entries": {
        "entry_id": "a1",
        "image_id": IMAGE_ID,
        "created_at": NOW,
        "event": "image created",
        "details": "{}",
    },
}


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_database_url)
    yield engine
    engine.dispose()


def image_rows(revision: str) -> list[dict[str, Any]]:
    states = [state for state, since in STATES.items() if since <= revision]
    return [
        {**IMAGE, "image_id": IMAGE_ID[:-1] + str(index), "state": state}
        for index, state in enumerate(states, 1)
    ]


def insert_rows(engine: Engine, revision: str) -> dict[str, list[dict[str, Any]]]:
    """Insert into each table that this revision has, and return what was inserted."""
    written = {}
    with engine.begin() as connection:
        for name in sorted({"images", *ROWS} & set(inspect(engine).get_table_names())):
            table = Table(name, MetaData(), autoload_with=connection)
            rows = image_rows(revision) if name == "images" else [ROWS[name]]
            written[name] = [
                {column: value for column, value in row.items() if column in table.c} for row in rows
            ]
            connection.execute(insert(table), written[name])
    return written


def read_rows(engine: Engine, written: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Read the columns that were written, with the types of today's tables."""
    from image_gateway.catalog.models import Base

    found = {}
    with engine.connect() as connection:
        for name, rows in written.items():
            table = Base.metadata.tables[name]
            key = next(iter(table.primary_key.columns))
            chosen = select(*(table.c[column] for column in rows[0])).order_by(key)
            found[name] = [dict(row) for row in connection.execute(chosen).mappings()]
    return found


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_row_is_the_same_after_the_upgrade(engine: Engine, revision: str) -> None:
    upgrade(engine, revision)
    written = insert_rows(engine, revision)
    upgrade(engine)
    assert read_rows(engine, written) == written
    catalog = Catalog(engine)
    states = [state for state, since in STATES.items() if since <= revision]
    for index, state in enumerate(states, 1):
        record = catalog.find(IMAGE_ID[:-1] + str(index))
        assert record is not None
        assert record.state is ImageState(state)
    assert catalog.shares.find_permission(IMAGE_ID, "bob") == ("read" if "shares" in written else None)
    assert (catalog.leases.find("e1") is not None) == ("leases" in written)
    assert (catalog.jobs.find("j1") is not None) == ("jobs" in written)
    assert (catalog.deltas.find("d1") is not None) == ("deltas" in written)


def test_every_table_has_a_row(engine: Engine) -> None:
    upgrade(engine)
    tables = set(inspect(engine).get_table_names()) - {"alembic_version", "catalog_properties", "images"}
    assert tables == set(ROWS)
