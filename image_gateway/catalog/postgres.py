"""The engine for PostgreSQL, whose every wait has a bound on this side too.

No setting of the server or of TCP covers a server that is reachable and silent: a stopped process still
acknowledges packets, and its statement_timeout never fires.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

# Of each worker process, and as many again under load.
POSTGRES_CONNECTIONS = 5
CONNECT_SECONDS = 5
# How long a thread waits for a connection that others use.
POOL_SECONDS = 5
# How much later than the server this side gives a statement up: when the server does, the connection is kept.
GRACE_SECONDS = 1
# A peer that is gone is noticed on idle connections after IDLE + COUNT x INTERVAL.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_Result = TypeVar("_Result")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed, with OperationalError, when no answer comes within `patience` seconds."""

    # Until it is taken from the pool: for the dialect's first questions and the pool's ping.
    patience: float | None = CONNECT_SECONDS

    def wait(self, gen: Generator[Any, Any, _Result], *args: Any, **kwargs: Any) -> _Result:
        """Consume a generator of psycopg, as its own method does, which wakes up ten times a second."""
        bounded = gen if self.patience is None else self._bounded(gen, self.patience)
        return super().wait(bounded, *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, _Result], seconds: float) -> Generator[Any, Any, _Result]:
        deadline = time.monotonic() + seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                wanted = gen.send(ready)
                if time.monotonic() >= deadline:
                    # What comes later must not be taken for the answer to another statement.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {seconds:g} seconds")
        except StopIteration as end:
            result: _Result = end.value
            return result


def open_postgres(url: URL, pool_size: int, timeout: int | None) -> Engine:
    """Make the engine; nothing is connected yet.

    Args:
        timeout: seconds that one statement may take, None for no bound.
    """
    engine = create_engine(
        url,
        pool_size=min(pool_size, POSTGRES_CONNECTIONS),
        max_overflow=POSTGRES_CONNECTIONS,
        pool_pre_ping=True,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_SECONDS, **KEEPALIVES, **_statement_arguments(url, timeout)},
    )
    if engine.dialect.driver == "psycopg":
        _bound_connections(engine, timeout)
    return engine


def _statement_arguments(url: URL, timeout: int | None) -> dict[str, Any]:
    if timeout is None:
        return {}
    given = url.query.get("options", "")
    own = f"-c statement_timeout={timeout * 1000}"
    # The last one counts, so what DATABASE_URL says goes before ours.
    options = " ".join([own, *([given] if isinstance(given, str) else given)]).strip()
    return {"options": options, "tcp_user_timeout": timeout * 1000}


def _bound_connections(engine: Engine, timeout: int | None) -> None:
    def connect(_dialect: object, _record: object, args: Any, arguments: Any) -> BoundedConnection:
        return BoundedConnection.connect(*args, **arguments)

    def check_out(connection: BoundedConnection, *_: object) -> None:
        connection.patience = None if timeout is None else timeout + GRACE_SECONDS

    def check_in(connection: BoundedConnection | None, *_: object) -> None:
        if connection is not None:
            connection.patience = CONNECT_SECONDS

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", check_out)
    event.listen(engine, "checkin", check_in)
