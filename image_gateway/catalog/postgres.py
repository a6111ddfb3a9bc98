"""Creates the engine for PostgreSQL, with a client-side timeout for every operation.

Server settings and TCP timeouts do not cover a server that is reachable but hangs: the kernel of a stopped
process still acknowledges packets, and its statement_timeout never fires.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

# Per worker process; the same number again as overflow under load.
POSTGRES_CONNECTIONS = 5
CONNECT_SECONDS = 5
# How long a thread waits for a free connection of the pool.
POOL_SECONDS = 5
# How much later than the server's statement_timeout the client gives up. If the server cancels the
# statement first, the connection stays usable.
GRACE_SECONDS = 1
# A dead peer of an idle connection is detected after IDLE + COUNT x INTERVAL seconds.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_Result = TypeVar("_Result")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes and raises OperationalError if no answer comes within `patience` seconds."""

    # Applies until checkout: to the dialect's initialization and the pool's pre-ping.
    patience: float | None = CONNECT_SECONDS

    def wait(self, gen: Generator[Any, Any, _Result], *args: Any, **kwargs: Any) -> _Result:
        """Run psycopg's I/O generator as the base method does, which wakes up ten times a second."""
        bounded = gen if self.patience is None else self._with_deadline(gen, self.patience)
        return super().wait(bounded, *args, **kwargs)

    def _with_deadline(
        self, gen: Generator[Any, Any, _Result], seconds: float
    ) -> Generator[Any, Any, _Result]:
        deadline = time.monotonic() + seconds
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                awaited = gen.send(ready)
                if time.monotonic() >= deadline:
                    # A late answer must not be taken for the answer to another statement.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {seconds:g} seconds")
        except StopIteration as end:
            result: _Result = end.value
            return result


def open_postgres(url: URL, pool_size: int, timeout: int | None) -> Engine:
    """Create the engine without connecting.

    Args:
        timeout: Statement timeout in seconds; None disables it.
    """
    engine = create_engine(
        url,
        pool_size=min(pool_size, POSTGRES_CONNECTIONS),
        max_overflow=POSTGRES_CONNECTIONS,
        pool_pre_ping=True,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_SECONDS, **KEEPALIVES, **_timeout_arguments(url, timeout)},
    )
    if engine.dialect.driver == "psycopg":
        _enforce_timeouts(engine, timeout)
    return engine


def most_connections(threads: int) -> int:
    """Return how many connections the engine of a process with so many threads may open."""
    return min(threads, POSTGRES_CONNECTIONS) + POSTGRES_CONNECTIONS


def _timeout_arguments(url: URL, timeout: int | None) -> dict[str, Any]:
    if timeout is None:
        return {}
    given = url.query.get("options", "")
    own = f"-c statement_timeout={timeout * 1000}"
    # The last option wins, so options from DATABASE_URL override ours.
    options = " ".join([own, *([given] if isinstance(given, str) else given)]).strip()
    return {"options": options, "tcp_user_timeout": timeout * 1000}


def _enforce_timeouts(engine: Engine, timeout: int | None) -> None:
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
