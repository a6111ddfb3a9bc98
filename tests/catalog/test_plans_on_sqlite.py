"""SQLite finds the rows of each call of the catalog by an index. It has no statistics, as in production."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from catalog_calls import calls_by_group
from catalog_rows import DATED, add_old, fill
from catalog_sweep_calls import FORGETS

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from tests.support.databases import Databases
from tests.support.query_plans import traced_by_sqlite

pytestmark = pytest.mark.xdist_group("plans on SQLite")
IMAGES, BATCH = 400, 10
# All of a partial index is read: of work in progress, which does not grow with the catalog.
IN_PROGRESS = re.compile(r"USING (COVERING )?INDEX (ix_images_unfinished|ix_images_open|ix_jobs_active)\b")
# They change whole tables, once.
AFTER_A_RESTORE = {"leases.revoke_all", "sessions.end_all", "shares.revoke_all_links"}
REPOSITORIES = ("shares", "leases", "writers", "jobs", "boot_traces", "sessions", "audit_entries")
REPOSITORIES += ("deltas", "delta_objects")


def methods_of(repository: object) -> dict[str, Callable[..., Any]]:
    found = inspect.getmembers(repository, inspect.ismethod)
    return {name: method for name, method in found if not name.startswith("_")}


def note_calls(catalog: Catalog, called: set[str]) -> None:
    """Let each method of the catalog note that it was called."""
    for place in ("", *REPOSITORIES):
        repository = getattr(catalog, place) if place else catalog
        for name, method in methods_of(repository).items():

            def noting(*args: Any, at: str = f"{place}.{name}", run: Any = method, **options: Any) -> Any:
                called.add(at)
                return run(*args, **options)

            setattr(repository, name, noting)


@pytest.fixture(scope="module")
def traced(databases: Databases) -> Iterator[tuple[dict[str, list[str]], set[str]]]:
    """The plans of all calls by their names, and the methods that were called."""
    url = databases.make_migrated()
    engine = open_engine(url)
    fill(engine, 0, IMAGES)
    add_old(engine, 0, FORGETS * BATCH)
    plans: dict[str, list[str]] = {}
    called: set[str] = set()
    catalog = Catalog(engine)
    note_calls(catalog, called)
    with traced_by_sqlite(engine) as statements:
        for calls in calls_by_group(catalog, IMAGES, BATCH).values():
            for call in calls:
                argument = call.prepare(0)
                statements.clear()
                call.run(argument)
                plans[call.name] = [
                    line for statement in list(statements) for line in explain(engine, statement)
                ]
    yield plans, called
    engine.dispose()
    databases.drop(url)


def explain(engine: Any, statement: str) -> list[str]:
    if not re.match(r"SELECT|INSERT|UPDATE|DELETE", statement):
        return []
    with engine.connect() as connection:
        cursor = connection.connection.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        return [row[3] for row in cursor.fetchall()]


def test_no_call_reads_a_growing_table_from_its_start(traced: tuple[dict[str, list[str]], set[str]]) -> None:
    plans = traced[0]
    # One row, the first of the index.
    assert plans.pop("readiness") == ["SCAN images USING COVERING INDEX sqlite_autoindex_images_1"]
    scanned = {
        name: line
        for name, lines in plans.items()
        for line in lines
        if line.startswith("SCAN") and line.split()[1] in {*DATED, "usage"} and not IN_PROGRESS.search(line)
    }
    assert scanned == {}
    assert any(line.startswith("SEARCH images USING INDEX ix_images_listed") for line in plans["first page"])


def test_no_list_is_sorted(traced: tuple[dict[str, list[str]], set[str]]) -> None:
    """Rows come in the order of an index, so that a page costs as much as its rows."""
    is_sorted = {name for name, lines in traced[0].items() if any("TEMP B-TREE" in line for line in lines)}
    # What one user has, what is in progress, and the jobs of one image.
    assert is_sorted == {
        "page of what is shared with a user",
        "jobs by kind and state",
        "cancel the jobs of an image",
    }


def test_the_calls_are_all_that_the_catalog_has(traced: tuple[dict[str, list[str]], set[str]]) -> None:
    catalog = Catalog(open_engine("sqlite://"))
    every = {f".{name}" for name in methods_of(catalog)}
    for place in REPOSITORIES:
        every |= {f"{place}.{name}" for name in methods_of(getattr(catalog, place))}
    assert every - traced[1] == AFTER_A_RESTORE
