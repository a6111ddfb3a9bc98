"""Opens short transactions and translates database errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from image_gateway.errors import CatalogUnavailable

_log = logging.getLogger(__name__)
_NO_TRANSACTION: dict[str, dict[str, Any]] = {
    "sqlite": {"sqlite_begin": None},
    "postgresql": {"isolation_level": "AUTOCOMMIT"},
}


class Transactions:
    """Opens transactions on an engine, and autocommit connections for single SELECTs.

    On SQLite, a write transaction takes the write lock at its start (BEGIN IMMEDIATE). A read transaction
    that upgrades to a write fails at once if another writer committed meanwhile, whatever the busy timeout.
    """

    def __init__(self, engine: Engine) -> None:
        self._reader = engine.execution_options(**_NO_TRANSACTION[engine.dialect.name])
        self._writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection for one SELECT; two SELECTs may see different states of the database."""
        with translate_errors(self._reader), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection with a transaction that is committed at the end of the block."""
        with translate_errors(self._writer), self._writer.begin() as connection:
            yield connection


@contextmanager
def translate_errors(engine: Engine) -> Iterator[None]:
    """Translate failures of the database to CatalogUnavailable. Integrity and data errors pass unchanged."""
    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except (IntegrityError, DataError, driver.IntegrityError, driver.DataError):
        raise
    except (DBAPIError, PoolTimeout, driver.Error) as error:
        _log.error("the catalog cannot be used: %s", _describe_error(error))
        raise CatalogUnavailable("the catalog of images does not answer; try again") from error


def _describe_error(error: Exception) -> str:
    """Return the first line of the driver's message, which contains neither the statement nor its values."""
    message = "connection pool timeout" if isinstance(error, PoolTimeout) else getattr(error, "orig", error)
    lines = str(message).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
