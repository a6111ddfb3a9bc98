"""Checks of the catalog's database: connection, schema, rights, latency, and what is peculiar to its kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from image_gateway.catalog.database import (
    DatabaseUrlError,
    current_revision,
    find_drift,
    find_schema_problem,
    is_newer,
    newest_revision,
    open_engine,
)
from image_gateway.catalog.inspection import find_missing_rights, measure_latency, read_postgres, read_sqlite
from image_gateway.doctor.database_connection import describe_error, explain_connection_failure
from image_gateway.doctor.database_file import check_sqlite, check_sqlite_file
from image_gateway.doctor.database_server import check_postgres
from image_gateway.doctor.shown_settings import shown
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.settings import Settings

SUBJECT = "database"
# Each request of the API waits for at least one answer of the database.
SLOW_SECONDS = 0.02
_SHOWN_CHANGES = 5


def check_database(
    settings: Settings,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.perf_counter,
) -> Iterator[Check]:
    """Check the database of DATABASE_URL; changes nothing in it.

    Args:
        clock: Returns seconds since the epoch, to compare with the server's clock.
        timer: Returns monotonic seconds, to measure the latency.
    """
    file = check_sqlite_file(settings.database_url)
    if file is not None:
        yield file
        if any(finding.severity is Severity.BROKEN for finding in file.findings):
            return
    try:
        engine = open_engine(
            settings.database_url, pool_size=settings.web_threads, timeout=settings.catalog_timeout_seconds
        )
    except DatabaseUrlError as error:
        yield Check(SUBJECT, "URL", findings=(_invalid_url(settings, error),))
        return
    try:
        yield from _check_engine(engine, settings, clock, timer)
    finally:
        engine.dispose()


def _check_engine(
    engine: Engine, settings: Settings, clock: Callable[[], float], timer: Callable[[], float]
) -> Iterator[Check]:
    try:
        with engine.connect() as connection:
            yield Check(SUBJECT, "connect", shown(settings, "DATABASE_URL"))
            yield from _check_connection(connection, settings, clock, timer)
    except DBAPIError as error:
        finding = explain_connection_failure(settings, error)
        yield Check(SUBJECT, "connect", findings=(finding,))
        return
    yield from _check_schema(engine, settings.database_url)


def _check_connection(
    connection: Connection, settings: Settings, clock: Callable[[], float], timer: Callable[[], float]
) -> Iterator[Check]:
    if connection.dialect.name == "sqlite":
        yield from check_sqlite(read_sqlite(connection))
    else:
        yield from check_postgres(read_postgres(connection, clock), settings)
    yield _check_latency(measure_latency(connection, timer))


def _check_latency(seconds: float) -> Check:
    detail = f"SELECT 1 takes {seconds * 1000:.2g} ms"
    if seconds <= SLOW_SECONDS:
        return Check(SUBJECT, "latency", detail)
    finding = Finding(
        "database-slow",
        Severity.WARNING,
        f"{detail}; more than {SLOW_SECONDS * 1000:.0f} ms",
        "Each request of the API asks the database at least once, and waits so long for each answer.",
        "move gateway and database into one network, or find what keeps the database busy",
    )
    return Check(SUBJECT, "latency", detail, (finding,))


def _check_schema(engine: Engine, database_url: str) -> Iterator[Check]:
    try:
        found = current_revision(engine)
        problem = find_schema_problem(engine)
        if problem is not None:
            yield Check(SUBJECT, "schema", findings=(_unusable_schema(found, problem),))
            return
        newer = (_newer_schema(found),) if is_newer(found) else ()
        yield Check(SUBJECT, "schema", f"revision {found}", newer)
        yield _check_rights(engine, database_url)
        if not newer:
            yield _check_drift(find_drift(engine))
    except (DBAPIError, CommandError) as error:
        text = describe_error(database_url, error) if isinstance(error, DBAPIError) else type(error).__name__
        finding = Finding(
            "database-schema-unreadable",
            Severity.BROKEN,
            f"reading the tables failed: {text}",
            "The gateway does not start if it cannot read the revision of its tables.",
            "give the user of DATABASE_URL the rights on the schema and its tables",
        )
        yield Check(SUBJECT, "schema", findings=(finding,))


def _unusable_schema(found: str | None, problem: str) -> Finding:
    if is_newer(found):
        return Finding(
            "database-schema-newer",
            Severity.BROKEN,
            problem,
            "A newer version has taken something from the tables that this one needs; it does not start.",
            "run the newer version here too, or restore the backup made before `image-gateway db upgrade`",
        )
    return Finding(
        "database-schema-outdated",
        Severity.BROKEN,
        problem,
        "The gateway does not start with older tables.",
        "run `image-gateway db upgrade`",
    )


def _newer_schema(found: str | None) -> Finding:
    return Finding(
        "database-schema-newer",
        Severity.WARNING,
        f"the tables are at revision {found}, newer than this program's {newest_revision()}",
        "This version goes on with them, but does not know what the newer one writes (ADR 29).",
        "finish the upgrade: run the newer version here, too",
    )


def _check_rights(engine: Engine, database_url: str) -> Check:
    name = "read and write, rolled back"
    missing = list(find_missing_rights(engine))
    if not missing:
        return Check(SUBJECT, name)
    statements = ", ".join(statement for statement, _ in missing[:_SHOWN_CHANGES])
    rest = f" and {len(missing) - _SHOWN_CHANGES} more" if len(missing) > _SHOWN_CHANGES else ""
    finding = Finding(
        "database-rights",
        Severity.BROKEN,
        f"{statements}{rest} failed: {describe_error(database_url, missing[0][1])}",
        "Uploads, leases and jobs are rows that the gateway inserts, updates and deletes.",
        "GRANT SELECT, INSERT, UPDATE, DELETE on all tables to the user of DATABASE_URL; "
        "for SQLite, make file and folder writable for the gateway's user",
    )
    return Check(SUBJECT, name, findings=(finding,))


def _check_drift(changes: list[str]) -> Check:
    name = "tables as this program defines them"
    if not changes:
        return Check(SUBJECT, name)
    lacks = any(change.startswith(("add table", "add column")) for change in changes)
    shown_changes = ", ".join(changes[:_SHOWN_CHANGES])
    rest = f" and {len(changes) - _SHOWN_CHANGES} more" if len(changes) > _SHOWN_CHANGES else ""
    finding = Finding(
        "database-drift",
        Severity.BROKEN if lacks else Severity.WARNING,
        f"somebody changed the tables; to make them right: {shown_changes}{rest}",
        "Statements fail on what is missing, and the next migration may fail on what is different.",
        "undo the change of the tables, and move tables of other programs to a database of their own",
    )
    return Check(SUBJECT, name, findings=(finding,))


def _invalid_url(settings: Settings, error: DatabaseUrlError) -> Finding:
    return Finding(
        "database-url-invalid",
        Severity.BROKEN,
        f"{shown(settings, 'DATABASE_URL')} {error}",
        "The gateway does not start without a database.",
        "set DATABASE_URL as in docs/how-to/postgresql.md",
    )
