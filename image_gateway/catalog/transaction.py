"""Short transactions, and a database that cannot be used as one named fact."""

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
    """Opens transactions on an engine, and connections for single SELECTs, which need none.

    SQLite takes its write lock at the start of a writing one: a reader that turns writer would be refused
    at once when another has written meanwhile, whatever the busy time-out.
    """

    def __init__(self, engine: Engine) -> None:
        self._reader = engine.execution_options(**_NO_TRANSACTION[engine.dialect.name])
        self._writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one SELECT; two may see two states of the database."""
        with naming_failures(self._reader), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection with a transaction, which is committed at the end of the block."""
        with naming_failures(self._writer), self._writer.begin() as connection:
            yield connection


@contextmanager
def naming_failures(engine: Engine) -> Iterator[None]:
    """Raise CatalogUnavailable for a database that does not answer, and a value that it refuses as it is."""
    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except (IntegrityError, DataError, driver.IntegrityError, driver.DataError):
        raise
    except (DBAPIError, PoolTimeout, driver.Error) as error:
        _log.error("the catalog cannot be used: %s", _cause(error))
        raise CatalogUnavailable("the catalog of images does not answer; try again") from error


def _cause(error: Exception) -> str:
    """The driver's own first line: statements and their values are not in it."""
    own = "no connection became free" if isinstance(error, PoolTimeout) else getattr(error, "orig", error)
    lines = str(own).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
