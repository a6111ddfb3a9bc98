"""Checks of a SQLite catalog: its file, the file system, the library and the journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from image_gateway.catalog.inspection import SqliteFacts
from image_gateway.catalog.sqlite import database_path
from image_gateway.doctor.mounts import existing_parent, file_system_of, is_network_file_system
from image_gateway.domain.findings import Check, Finding, Severity

SUBJECT = "database"
# INSERT … ON CONFLICT DO UPDATE, and fixes of WAL: https://sqlite.org/changes.html
LEAST_VERSION = (3, 24, 0)


def check_sqlite_file(database_url: str) -> Check | None:
    """Check the file of a SQLite URL without creating it; None for other URLs and databases in memory."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        return None
    path = database_path(url) if url.get_backend_name() == "sqlite" else None
    if path is None:
        return None
    findings = [finding for finding in (_find_missing(path), _find_network(path)) if finding is not None]
    return Check(SUBJECT, "file", str(path), tuple(findings))


def check_sqlite(facts: SqliteFacts) -> Iterator[Check]:
    """Check the library and the journal mode."""
    version = ".".join(map(str, facts.version))
    old = Finding(
        "database-version",
        Severity.BROKEN,
        f"SQLite {version} is older than {'.'.join(map(str, LEAST_VERSION))}",
        "It does not know statements that the catalog uses.",
        "use a Python that is linked to a newer SQLite, as Debian's and the official image's are",
    )
    yield Check(SUBJECT, "version", f"SQLite {version}", (old,) if facts.version < LEAST_VERSION else ())
    no_wal = Finding(
        "database-sqlite-journal",
        Severity.BROKEN,
        f"the file cannot be used in WAL mode: its journal mode is {facts.journal_mode}",
        "Readers and writers of several processes would block each other.",
        "move the file to a local file system with file locks and shared memory",
    )
    # A database in memory has no journal file.
    is_good = facts.journal_mode in ("wal", "memory")
    yield Check(SUBJECT, "journal mode", facts.journal_mode, () if is_good else (no_wal,))


def _find_missing(path: Path) -> Finding | None:
    parent = existing_parent(path.parent)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return Finding(
            "database-folder-unwritable",
            Severity.BROKEN,
            f"{parent} is not a folder that this user can write to",
            "SQLite creates files beside the database, and needs to write to its folder even to read.",
            f"make {parent} a folder that the gateway's user can write to, or change DATABASE_URL",
        )
    if path.exists():
        return None
    return Finding(
        "database-schema-outdated",
        Severity.BROKEN,
        f"there is no file {path}",
        "The gateway does not start without tables.",
        "run `image-gateway db upgrade`, or correct the path in DATABASE_URL",
    )


def _find_network(path: Path) -> Finding | None:
    kind = file_system_of(path)
    if not is_network_file_system(kind):
        return None
    return Finding(
        "database-sqlite-network",
        Severity.WARNING,
        f"{path} is on a network file system ({kind})",
        "SQLite's WAL mode needs memory that all processes share: the file can be damaged "
        "(https://sqlite.org/wal.html).",
        "move the file to a local disk, or use PostgreSQL: docs/how-to/postgresql.md",
    )
