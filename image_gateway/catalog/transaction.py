"""Short transactions, and a database that cannot be used as one named fact."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from image_gateway.errors import CatalogUnavailable

_log = logging.getLogger(__name__)


class Transactions:
    """Opens transactions on an engine.

    SQLite takes its write lock at the start of a writing one: a reader that turns writer would be refused
    at once when another has written meanwhile, whatever the busy time-out.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reading(self) -> AbstractContextManager[Connection]:
        return self._open("BEGIN")

    def writing(self) -> AbstractContextManager[Connection]:
        return self._open("BEGIN IMMEDIATE")

    @contextmanager
    def _open(self, begin: str) -> Iterator[Connection]:
        try:
            with self._engine.execution_options(sqlite_begin=begin).begin() as connection:
                yield connection
        except (IntegrityError, DataError):
            raise
        except (DBAPIError, PoolTimeout) as error:
            _log.error("the catalog cannot be used: %s", _cause(error))
            raise CatalogUnavailable("the catalog of images does not answer; try again") from error


def _cause(error: Exception) -> str:
    """The driver's own first line: statements and their values are not in it."""
    lines = str(getattr(error, "orig", None) or "no connection became free").splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
