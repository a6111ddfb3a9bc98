"""The plans of the statements that a database runs, as the database itself tells them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine, event

# PostgreSQL's own plans of the statements that run, with the numbers of rows, as messages to the client.
_EXPLAIN = (
    "LOAD 'auto_explain'",
    "SET auto_explain.log_min_duration = 0",
    "SET auto_explain.log_analyze = on",
    "SET auto_explain.log_timing = off",
    "SET auto_explain.log_format = json",
    "SET client_min_messages = log",
)


@dataclass(frozen=True)
class Plan:
    """The plan of a statement that PostgreSQL ran."""

    statement: str
    root: dict[str, Any]

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Yield the nodes that ran."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", [])
            if node["Actual Loops"]:
                yield node

    def scanned_tables(self) -> set[str]:
        """Return the tables that were read from their start."""
        return {node["Relation Name"] for node in self.nodes() if node["Node Type"] == "Seq Scan"}

    def indexes_only(self) -> set[str]:
        """Return the indexes that were read without their tables."""
        return {node["Index Name"] for node in self.nodes() if node["Node Type"] == "Index Only Scan"}

    def rows_examined(self) -> int:
        """Return how many rows of tables and indexes were looked at, those that a filter removed included."""
        return sum(_rows_of(node) for node in self.nodes() if node["Node Type"].endswith("Scan"))


def _rows_of(node: dict[str, Any]) -> int:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round((node["Actual Rows"] + removed) * node["Actual Loops"])


@contextmanager
def explained_by_postgres(engine: Engine, *, for_any_values: bool = False) -> Iterator[list[Plan]]:
    """Collect the plans of all statements on connections that the engine opens meanwhile.

    The user must be a superuser. The list is the caller's: it may be cleared between statements.

    Args:
        for_any_values: Use the plans that PostgreSQL makes for any values of a statement that psycopg has
            prepared. It may choose them from a statement's eleventh execution on a connection on.
    """
    plans: list[Plan] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        message = diagnostic.message_primary or ""
        if "plan:" in message:
            document = json.loads(message.partition("plan:")[2])
            plans.append(Plan(document["Query Text"], document["Plan"]))

    def connect(connection: psycopg.Connection[Any], _record: object) -> None:
        for statement in _EXPLAIN:
            connection.execute(statement)
        if for_any_values:
            connection.prepare_threshold = 0
            connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.commit()
        connection.add_notice_handler(note)

    engine.dispose()
    event.listen(engine, "connect", connect)
    yield plans
    event.remove(engine, "connect", connect)
    engine.dispose()


@contextmanager
def traced_by_sqlite(engine: Engine) -> Iterator[list[str]]:
    """Collect all statements, with their values, on connections that the engine opens meanwhile."""
    statements: list[str] = []

    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(statements.append)

    engine.dispose()
    event.listen(engine, "connect", connect)
    yield statements
    event.remove(engine, "connect", connect)
    engine.dispose()
