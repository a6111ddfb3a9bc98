"""Fills a catalog with deltas, by statements that run in the database.

A quarter of the images has a delta, each with three commits that no checkpoint has, as idle deltas keep them;
a tenth of the deltas is deleted and purged. For each image there are 0.05 snapshots and retired objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from catalog_dialects import DELTA, IMAGE, OLD, SNAPSHOT, Dialect

DELTA_TABLES = ("deltas", "delta_commits", "delta_snapshots", "delta_retired_objects")
COMMITS = 3
_HAS_DELTA, _HAS_SNAPSHOT = "n % 4 = 0", "n % 20 = 0"
_IS_PURGED = "n % 40 = 4"


def delta_statements(dialect: Dialect, first: int, last: int) -> Iterator[str]:
    """Yield the INSERTs for the images `first` to `last`, without the latter."""
    yield dialect.statement("deltas", first, last, _delta(dialect), _HAS_DELTA)
    for generation in range(1, COMMITS + 1):
        commit = _commit(dialect, DELTA, generation, "@(n)@")
        yield dialect.statement("delta_commits", first, last, commit, _HAS_DELTA)
    snapshot = {"snapshot_id": dialect.id(SNAPSHOT), "delta_id": dialect.id(DELTA), "name": "'before'"}
    snapshot |= {"generation": "1", "checkpoint": dialect.long(SNAPSHOT), "size": "4096"}
    yield dialect.statement("delta_snapshots", first, last, snapshot | {"created_at": "@(n)@"}, _HAS_SNAPSHOT)
    retired = {"delta_id": dialect.id(DELTA), "name": "'retired.seg'", "size": "4096", "retired_at": "@(n)@"}
    yield dialect.statement("delta_retired_objects", first, last, retired, _HAS_SNAPSHOT)


def old_delta_statements(dialect: Dialect, first: int, last: int) -> Iterator[str]:
    """Yield the INSERTs of commits that a sweep removes."""
    old = _commit(dialect, OLD, 1, "@(-864000)@") | {"checkpointed": "(1 = 1)"}
    yield dialect.statement("delta_commits", first, last, old)


def _delta(dialect: Dialect) -> dict[str, str]:
    return {
        "delta_id": dialect.id(DELTA),
        "image_id": dialect.id(IMAGE),
        "version": "'v'",
        "disk_size": "1073741824",
        "owner": "CASE WHEN n % 10 = 0 THEN 'bench' ELSE 'user-' || (n / 10) END",
        "name": "'disk ' || n",
        "block_size": "4096",
        "created_at": "@(n)@",
        "updated_at": "@(n)@",
        "generation": str(COMMITS),
        "epoch": "2",
        "state": f"CASE WHEN {_IS_PURGED} THEN 'deleted' ELSE 'active' END",
        "live_bytes": "12288",
        "stored_bytes": "16384",
        "checkpoint_generation": "0",
        "checkpoint_size": "0",
        "recent_extents": "0",
        "reset_generation": "0",
        "purged_at": f"CASE WHEN {_IS_PURGED} THEN @(n + 60)@ END",
    }


def _commit(dialect: Dialect, table: int, generation: int, created_at: str) -> dict[str, str]:
    return {
        "delta_id": dialect.id(table),
        "generation": str(generation),
        "epoch": "2",
        "kind": "'commit'",
        "name": f"'00000002-{generation:012x}-0123456789abcdef.seg'",
        "size": "4132",
        "etag": "'\"0123456789abcdef0123456789abcdef\"'",
        "extents": "1",
        "blocks": "1",
        "sha256": dialect.long(table),
        "idempotency_key": f"{dialect.id(table)} || '{generation}'",
        "created_at": created_at,
        "checkpointed": "(1 = 0)",
    }
