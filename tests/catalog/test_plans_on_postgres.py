"""The cost of each call of the catalog on PostgreSQL, by its own plans and rows: the same at any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from catalog_calls import calls_by_group
from catalog_rows import DATED, add_old, fill, vacuum
from catalog_sweep_calls import FORGETS
from sqlalchemy import Engine

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from tests.support.databases import Databases
from tests.support.query_plans import Plan, explained_by_postgres

FEW, MANY, BATCH = 2_000, 20_000, 20
GROWING = {*DATED, "usage"}
# More than a page, a batch and all work in progress have together; a scan of any growing table has thousands.
MOST_ROWS = 400
# Substrings cannot be found by an index: the images of one owner are looked at.
OF_ONE_OWNER = {"page of a name that many have", "page of a name that none has"}
INDEX_ONLY = {
    "readiness": "pk_images",
    "create, with quotas": "ix_images_unfinished",
    "share": "pk_shares",
    "open uploads": "ix_images_unfinished",
    "count old leases": "ix_leases_session",
    "count old sessions": "ix_browser_sessions_expiry",
    "count old audit entries": "ix_audit_entries_created",
    "forget leases": "ix_leases_session",
    "forget sessions": "ix_browser_sessions_expiry",
    "forget audit entries": "ix_audit_entries_created",
}
Plans = dict[str, list[Plan]]


@dataclass(frozen=True)
class Explained:
    """The plans of all calls, at few images and at many, and those that PostgreSQL makes for any values."""

    few: Plans
    many: Plans
    for_any_values: Plans


def explain_calls(engine: Engine, images: int, *, for_any_values: bool = False) -> Plans:
    found: Plans = {}
    with explained_by_postgres(engine, for_any_values=for_any_values) as plans:
        for group, calls in calls_by_group(Catalog(engine), images, BATCH).items():
            for call in calls:
                # A sweep is over before such plans are made, and they would have to be the cheaper ones.
                if group == "sweeps" and for_any_values:
                    continue
                argument = call.prepare(0)
                plans.clear()
                call.run(argument)
                found[call.name] = list(plans)
    return found


@pytest.fixture(scope="module")
def explained(databases: Databases) -> Iterator[Explained]:
    url = databases.make_migrated()
    engine = open_engine(url)
    fill(engine, 0, FEW)
    add_old(engine, 0, FORGETS * BATCH)
    few = explain_calls(engine, FEW)
    fill(engine, FEW, MANY)
    add_old(engine, FORGETS * BATCH, 2 * FORGETS * BATCH)
    vacuum(engine)
    yield Explained(few, explain_calls(engine, MANY), explain_calls(engine, MANY, for_any_values=True))
    engine.dispose()
    databases.drop(url)


@pytest.mark.parametrize("plans", ["many", "for_any_values"])
def test_no_call_reads_a_growing_table_from_its_start(explained: Explained, plans: str) -> None:
    scanned = {
        name: (sorted(tables), plan.statement)
        for name, each in getattr(explained, plans).items()
        for plan in each
        if (tables := plan.scanned_tables() & GROWING)
    }
    assert scanned == {}


@pytest.mark.parametrize("plans", ["many", "for_any_values"])
def test_the_rows_examined_do_not_grow_with_the_catalog(explained: Explained, plans: str) -> None:
    few, many = rows_examined(explained.few), rows_examined(getattr(explained, plans))
    most = {name: min(MOST_ROWS, 2 * few[name] + 50) for name in many}
    grown = {name: (few[name], rows) for name, rows in many.items() if rows > most[name]}
    assert set(grown) <= OF_ONE_OWNER, grown
    # Index and table, each once for an image of the owner.
    assert max(many[name] for name in OF_ONE_OWNER) <= 2 * MANY // 10 + 50


def rows_examined(plans: Plans) -> dict[str, int]:
    return {name: sum(plan.rows_examined() for plan in each) for name, each in plans.items()}


@pytest.mark.parametrize(("name", "index"), INDEX_ONLY.items())
def test_what_is_counted_or_chosen_is_read_from_an_index_only(
    explained: Explained, name: str, index: str
) -> None:
    assert index in set().union(*(plan.indexes_only() for plan in explained.many[name]))
