"""Fills a catalog with images and what belongs to them, by statements that run in the database.

For each image there are one lease, one audit entry, half a share, 0.3 jobs, 0.25 sessions, 0.2 share links,
0.05 boot traces, and deltas (see `catalog_delta_rows`). A tenth of the images belongs to one owner. Work in
progress does not grow with the catalog: open uploads, active jobs, unpurged images and what a sweep removes
are the same at every size.
"""

from __future__ import annotations

from collections.abc import Iterator

from catalog_delta_rows import DELTA_TABLES, delta_statements, old_delta_statements
from catalog_dialects import AUDIT, DIALECTS, IMAGE, JOB, LEASE, LINK, OLD, SESSION, Dialect
from sqlalchemy import Connection, Engine, text

OWNER = "bench"
# Images 0 to 99 are open uploads, the next 50 are processed, the next 50 are deleted and unpurged.
OPEN, PROCESSING, UNPURGED = 100, 50, 50
BATCH = 250_000
DATED = (
    "images",
    "leases",
    "shares",
    "share_links",
    "browser_sessions",
    "audit_entries",
    "jobs",
    "boot_traces",
    *DELTA_TABLES,
)


def is_complete(number: int) -> bool:
    """Return whether an image is complete, as the statements below make it."""
    return number >= OPEN + PROCESSING + UNPURGED and number % 100 > 10


_FALSE = "(1 = 0)"
_BIG_OWNER = f"CASE WHEN n % 10 = 0 THEN '{OWNER}' ELSE 'user-' || (n / 10) END"
_STATE = (
    f"CASE WHEN n < {OPEN} THEN 'uploading' WHEN n < {OPEN + PROCESSING} THEN 'processing'"
    f" WHEN n < {OPEN + PROCESSING + UNPURGED} THEN 'deleted' WHEN n % 100 = 0 THEN 'failed'"
    " WHEN n % 100 <= 10 THEN 'deleted' ELSE 'complete' END"
)
_COMPLETE = f"(n >= {OPEN + PROCESSING + UNPURGED} AND n % 100 > 10)"
_ENDED = f"(n >= {OPEN + PROCESSING + UNPURGED} AND n % 100 <= 10)"


def fill(engine: Engine, first: int, last: int) -> None:
    """Add the images `first` to `last`, without the latter, and what belongs to them."""
    dialect = DIALECTS[engine.dialect.name]
    for start in range(first, last, BATCH):
        with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
            for statement in _statements(dialect, start, min(start + BATCH, last)):
                connection.execute(text(statement))
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        _count_usage(connection)
    vacuum(engine)


def add_old(engine: Engine, first: int, last: int) -> None:
    """Add leases, sessions, audit entries and jobs that a sweep removes."""
    dialect = DIALECTS[engine.dialect.name]
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        for statement in _old_statements(dialect, first, last):
            connection.execute(text(statement))


def vacuum(engine: Engine) -> None:
    """Do on PostgreSQL what autovacuum does. SQLite has no such thing, and nobody runs ANALYZE there."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _statements(dialect: Dialect, first: int, last: int) -> Iterator[str]:
    yield dialect.statement("images", first, last, _image(dialect))
    yield dialect.statement("leases", first, last, _lease(dialect, LEASE, "@(n + 31536000)@"))
    share = {"image_id": dialect.id(IMAGE), "user_id": "'reader-' || (n / 20)", "permission": "'read'"}
    yield dialect.statement("shares", first, last, share | {"created_at": "@(n)@"}, "n % 2 = 0")
    link = {
        "link_id": dialect.id(LINK),
        "image_id": dialect.id(IMAGE),
        "token_sha256": dialect.long(LINK),
    }
    link |= {"created_at": "@(n)@", "uses": "3", "label": "'for a friend'"}
    yield dialect.statement("share_links", first, last, link, "n % 5 = 0")
    yield dialect.statement(
        "browser_sessions", first, last, _session(dialect, SESSION, "@(n + 31536000)@"), "n % 4 = 0"
    )
    yield dialect.statement("audit_entries", first, last, _entry(dialect, AUDIT, "@(n)@"))
    yield dialect.statement("jobs", first, last, _job(dialect, JOB), "n % 10 < 3")
    trace = {"image_id": dialect.id(IMAGE), "version": "'v'", "created_at": "@(n)@"}
    trace |= {"blocks": "'[[0, 16], [1024, 64], [9000, 128]]'"}
    yield dialect.statement("boot_traces", first, last, trace, "n % 20 = 11")
    yield from delta_statements(dialect, first, last)


def _old_statements(dialect: Dialect, first: int, last: int) -> Iterator[str]:
    yield dialect.statement("leases", first, last, _lease(dialect, OLD, "@(-864000)@"))
    yield dialect.statement("browser_sessions", first, last, _session(dialect, OLD, "@(-864000)@"))
    yield dialect.statement("audit_entries", first, last, _entry(dialect, OLD, "@(-864000)@"))
    old = {"state": "'done'", "created_at": "@(-9000000)@", "run_after": "@(-9000000)@"}
    old |= {"started_at": "@(-8640060)@", "finished_at": "@(-8640000)@"}
    yield dialect.statement("jobs", first, last, _job(dialect, OLD) | old)
    writer = {"writer_id": dialect.id(OLD), "image_id": dialect.id(IMAGE), "expires_at": "@(-864000)@"}
    yield dialect.statement("writers", first, last, writer)
    yield from old_delta_statements(dialect, first, last)


def _image(dialect: Dialect) -> dict[str, str]:
    def if_complete(value: str) -> str:
        return f"CASE WHEN {_COMPLETE} THEN {value} END"

    return {
        "image_id": dialect.id(IMAGE),
        "owner": _BIG_OWNER,
        "base_path": "'/images'",
        "version": "'v'",
        "name": "'disk ' || n",
        "kind": "'disk'",
        "visibility": "CASE WHEN n % 2 = 0 THEN 'shared' ELSE 'private' END",
        "state": _STATE,
        "revision": "2",
        "reserved_bytes": f"CASE WHEN {_COMPLETE} OR n < {OPEN + PROCESSING} THEN 1073741824 ELSE 0 END",
        "created_at": "@(n)@",
        "updated_at": "@(n)@",
        "purged_at": f"CASE WHEN {_ENDED} THEN @(n + 60)@ END",
        # As long as those of AWS S3.
        "upload_id": f"{dialect.long(IMAGE)} || {dialect.long(IMAGE)}",
        "part_size": "5242880",
        "declared_size": "1073741824",
        "upload_expires_at": "@(n + 604800)@",
        "disk_size": if_complete("1073741824"),
        "disk_etag": if_complete("'\"0123456789abcdef0123456789abcdef-205\"'"),
        "disk_last_modified": if_complete("@(n)@"),
        "disk_cache_control": if_complete("'private, no-store, no-transform'"),
        "format": "'raw'",
    }


def _lease(dialect: Dialect, table: int, ends_at: str) -> dict[str, str]:
    return {
        "lease_id": dialect.id(table),
        "image_id": dialect.id(IMAGE),
        "version": "'v'",
        "scopes": "'disk:read'",
        "holder": "'user:reader-' || (n / 20)",
        "created_at": "@(n)@",
        "ttl_seconds": "3600",
        "expires_at": ends_at,
        "session_ends_at": ends_at,
        "when_lapsed": "'refuse'",
        "chunks_from": "'gateway'",
        "record": _FALSE,
    }


def _session(dialect: Dialect, table: int, expires_at: str) -> dict[str, str]:
    return {
        "session_sha256": dialect.long(table),
        "user_id": "'reader-' || (n / 20)",
        "display_name": "'Reader'",
        "admin": _FALSE,
        "created_at": "@(n)@",
        "last_used_at": "@(n)@",
        "expires_at": expires_at,
    }


def _entry(dialect: Dialect, table: int, made_at: str) -> dict[str, str]:
    return {
        "entry_id": dialect.id(table),
        "image_id": dialect.id(IMAGE),
        "created_at": made_at,
        "event": "'upload completed'",
        "user_id": _BIG_OWNER,
        "details": '\'{"address": "192.0.2.1"}\'',
    }


def _job(dialect: Dialect, table: int) -> dict[str, str]:
    is_running, is_queued = f"n >= {OPEN} AND n < {OPEN + PROCESSING - 5}", f"n < {OPEN + PROCESSING}"
    state = f"CASE WHEN {is_running} THEN 'running' WHEN {is_queued} THEN 'queued' ELSE 'done' END"
    return {
        "job_id": dialect.id(table),
        "image_id": dialect.id(IMAGE),
        "kind": "CASE WHEN n % 2 = 0 THEN 'publish' ELSE 'verify' END",
        "state": state,
        "params": "'{}'",
        "checkpoint": "'{}'",
        "attempt": "1",
        "bytes_done": "1073741824",
        "bytes_total": "1073741824",
        "created_at": "@(n)@",
        "run_after": "@(n)@",
        "started_at": f"CASE WHEN {is_running} OR n >= {OPEN + PROCESSING} THEN @(n)@ END",
        "finished_at": f"CASE WHEN n >= {OPEN + PROCESSING} THEN @(n + 60)@ END",
        "seconds": f"CASE WHEN n >= {OPEN + PROCESSING} THEN 60 END",
        "worker": "'host:1'",
        "claim_id": f"CASE WHEN {is_running} THEN {dialect.id(table)} END",
        "claim_expires_at": f"CASE WHEN {is_running} THEN @(n + 94608000)@ END",
    }


def _count_usage(connection: Connection) -> None:
    connection.execute(text("DELETE FROM usage"))
    connection.execute(
        text(
            "INSERT INTO usage (owner, images, bytes) SELECT owner, COUNT(*), SUM(reserved_bytes) FROM images"
            " WHERE state IN ('uploading', 'processing', 'complete') GROUP BY owner"
        )
    )
