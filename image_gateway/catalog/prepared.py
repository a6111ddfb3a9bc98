"""Runs frequent SELECTs: SQLAlchemy compiles each once, the database driver executes it.

Executing a statement through SQLAlchemy takes several times as long as SQLite takes to answer it
(docs/adr/0021-selects-by-the-driver.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Select
from sqlalchemy.engine.interfaces import Dialect

from image_gateway.catalog.transaction import translate_errors

# Paramstyles with named parameters.
_PARAMSTYLES = {"sqlite": "named", "postgresql": "pyformat"}


class PreparedSelects:
    """Runs SELECTs on an engine's connections, each in its own transaction.

    Statements are cached for the life of the process, so their values must be named bindparams.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._compiled: dict[Select[Any], _CompiledSelect] = {}

    def all(self, statement: Select[Any], values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Return all rows, converted to the Python types of the columns.

        Raises:
            CatalogUnavailable: The database cannot be used.
        """
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = _CompiledSelect(statement, self._engine.dialect)
        with translate_errors(self._engine), self._connection() as connection:
            cursor = connection.cursor()
            cursor.execute(compiled.sql, compiled.bind(values))
            return compiled.read(cursor.fetchall())

    def first(self, statement: Select[Any], values: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return the first row or None. Raises the same errors as `all`."""
        return next(iter(self.all(statement, values)), None)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Yield a pooled connection in autocommit mode; SQLite's are always in it (see sqlite.py)."""
        dialect = self._engine.dialect
        pooled = self._engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        try:
            if dialect.name == "sqlite":
                yield connection
            else:
                dialect.set_isolation_level(connection, "AUTOCOMMIT")
                yield connection
                dialect.reset_isolation_level(connection)
        except BaseException:
            # After any error, the connection must not be reused.
            pooled.invalidate()
            raise
        finally:
            pooled.close()


class _CompiledSelect:
    """A compiled SELECT with the type conversions of its parameters and columns."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        kind: Any = type(dialect)
        compiled = statement.compile(dialect=kind(paramstyle=_PARAMSTYLES[dialect.name]))
        self.sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._to_driver = {
            name: process
            for name in compiled.params
            if (process := compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
        }
        self._from_driver = {
            number: process
            for number, column in enumerate(statement.selected_columns)
            if (process := column.type.dialect_impl(dialect).result_processor(dialect, None))
        }

    def bind(self, values: dict[str, Any]) -> dict[str, Any]:
        bound = {**self._constants, **values}
        for name, process in self._to_driver.items():
            bound[name] = process(bound[name])
        return bound

    def read(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        return [tuple(self._read_row(list(row))) for row in rows]

    def _read_row(self, values: list[Any]) -> list[Any]:
        for number, process in self._from_driver.items():
            if values[number] is not None:
                values[number] = process(values[number])
        return values
