"""What an upgrade of the tables takes from programs of the revision before: a contraction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, inspect


@dataclass(frozen=True)
class Schema:
    """The columns, checks and unique keys of all tables."""

    columns: dict[str, dict[str, Any]]
    checks: dict[str, dict[str, str]]
    unique: dict[str, set[tuple[str, ...]]]


def read_schema(engine: Engine) -> Schema:
    inspector = inspect(engine)
    tables = [name for name in inspector.get_table_names() if name != "alembic_version"]
    return Schema(
        {table: {column["name"]: column for column in inspector.get_columns(table)} for table in tables},
        {
            table: {str(check["name"]): check["sqltext"] for check in inspector.get_check_constraints(table)}
            for table in tables
        },
        {
            table: {
                tuple(map(str, index["column_names"]))
                for index in inspector.get_indexes(table)
                if index["unique"]
            }
            for table in tables
        },
    )


def contractions(before: Schema, after: Schema) -> Iterator[str]:
    """Yield what works with the tables before, and not after."""
    for table, columns in before.columns.items():
        if table not in after.columns:
            yield f"{table}: dropped"
            continue
        for name, column in columns.items():
            found = after.columns[table].get(name)
            if found is None:
                yield f"{table}.{name}: dropped or renamed"
            elif str(found["type"]) != str(column["type"]):
                yield f"{table}.{name}: {column['type']} became {found['type']}"
            elif _must_be_given(found) and not _must_be_given(column):
                yield f"{table}.{name}: must be given"
        for name, column in after.columns[table].items():
            if name not in columns and _must_be_given(column):
                yield f"{table}.{name}: must be given"
        for name, rule in after.checks[table].items():
            if before.checks[table].get(name) != rule:
                yield f"{table}: check {name}"
        for key in sorted(after.unique[table] - before.unique[table]):
            yield f"{table}: unique {', '.join(key)}"


def _must_be_given(column: dict[str, Any]) -> bool:
    """Whether an INSERT that does not name the column fails."""
    return not column["nullable"] and column["default"] is None
