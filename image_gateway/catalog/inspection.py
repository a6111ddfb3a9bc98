"""Asks a database what an operator must know of it: version, limits, clock, rights and latency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Executable, false, select, text
from sqlalchemy.exc import DBAPIError

from image_gateway.catalog.models import Base

LATENCY_ROUNDS = 9


@dataclass(frozen=True)
class PostgresFacts:
    """What a PostgreSQL server says of itself and of the role that is connected.

    Attributes:
        version: `server_version_num`, such as 150004 for 15.4.
        standby: The server is in recovery: it replays a primary's log.
        read_only: Transactions are read-only unless they ask for more.
        connection_limit: Connections that this role may open to this database in all.
        connections_in_use: Connections that count against this limit, without the one that asks.
        statement_timeout_ms: 0 for none.
        clock_ahead_seconds: How far the server's clock is ahead of this host's; negative if behind.
        clock_error_seconds: By how much that can be wrong: half of the time that the answer took.
    """

    version: int
    standby: bool
    read_only: bool
    connection_limit: int
    connections_in_use: int
    statement_timeout_ms: int
    clock_ahead_seconds: float
    clock_error_seconds: float


@dataclass(frozen=True)
class SqliteFacts:
    """The library's version, and the journal mode that the file is in."""

    version: tuple[int, ...]
    journal_mode: str


# `numbackends` is visible to all roles, other sessions' rows of pg_stat_activity are not.
_CONNECTIONS = text(
    """
    SELECT
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT sum(numbackends)::int FROM pg_stat_database),
        d.datconnlimit,
        (SELECT numbackends FROM pg_stat_database s WHERE s.datid = d.oid),
        r.rolconnlimit,
        (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid)
    FROM pg_database d, pg_roles r
    WHERE d.datname = current_database() AND r.rolname = current_user
    """
)
_SERVER = text(
    """
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
        current_setting('transaction_read_only') = 'on',
        (SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout')
    """
)


def read_postgres(connection: Connection, clock: Callable[[], float]) -> PostgresFacts:
    """Ask a PostgreSQL server; `clock` returns seconds since the epoch. Raises DBAPIError."""
    version, standby, read_only, statement_timeout = connection.execute(_SERVER).one()
    total, in_use, of_database, in_database, of_role, by_role = connection.execute(_CONNECTIONS).one()
    limits = [(total, in_use), (of_database, in_database), (of_role, by_role)]
    # -1 is no limit. Of the others, the one that leaves the fewest connections decides.
    limit, used = min((pair for pair in limits if pair[0] >= 0), key=lambda pair: pair[0] - pair[1])
    before = clock()
    server = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    after = clock()
    ahead, error = server - (before + after) / 2, (after - before) / 2
    return PostgresFacts(
        version, standby, read_only, limit, max(0, used - 1), statement_timeout, ahead, error
    )


def read_sqlite(connection: Connection) -> SqliteFacts:
    """Ask SQLite for its version and the journal mode of the file. Raises DBAPIError."""
    version = str(connection.execute(text("SELECT sqlite_version()")).scalar_one())
    mode = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
    return SqliteFacts(tuple(int(number) for number in version.split(".")), mode)


def measure_latency(connection: Connection, timer: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of SELECT 1 in seconds. Raises DBAPIError."""
    times = []
    for _ in range(LATENCY_ROUNDS):
        before = timer()
        connection.execute(text("SELECT 1")).one()
        times.append(timer() - before)
    return statistics.median(times)


def find_missing_rights(engine: Engine) -> Iterator[tuple[str, DBAPIError]]:
    """Yield each statement on a table of the catalog that fails, such as `INSERT INTO images`, and its error.

    The statements concern no row, and are rolled back. The database checks rights and locks all the same.
    """
    writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
    with writer.connect() as connection:
        try:
            connection.begin()
        except DBAPIError as error:
            yield "BEGIN", error
            return
        for name, statement in _harmless_statements():
            try:
                with connection.begin_nested():
                    connection.execute(statement)
            except DBAPIError as error:
                yield name, error
        connection.rollback()


def _harmless_statements() -> Iterator[tuple[str, Executable]]:
    for table in Base.metadata.sorted_tables:
        nothing = select(table).where(false())
        column = next(iter(table.columns))
        statements: dict[str, Executable] = {
            "SELECT FROM": nothing,
            "INSERT INTO": table.insert().from_select(list(table.columns.keys()), nothing),
            "UPDATE": table.update().where(false()).values({column: column}),
            "DELETE FROM": table.delete().where(false()),
        }
        yield from ((f"{verb} {table.name}", statement) for verb, statement in statements.items())
