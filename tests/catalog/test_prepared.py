"""SELECTs by the driver itself: the same rows as SQLAlchemy's own, and no broken connection kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Select, bindparam, select, text

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.models import ImageRow
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.repository import Catalog
from image_gateway.errors import CatalogUnavailable
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record

COLUMNS = ImageRow.__table__.columns
STATEMENTS: dict[str, tuple[Select[Any], dict[str, Any]]] = {
    "all columns": (select(*COLUMNS).where(COLUMNS.owner == bindparam("who")), {"who": "alice"}),
    "a date as value": (
        select(COLUMNS.created_at, COLUMNS.purged_at).where(COLUMNS.created_at < bindparam("moment")),
        {"moment": NOW + timedelta(seconds=1)},
    ),
    "a constant and a limit": (
        select(COLUMNS.name).where(COLUMNS.owner == "alice").order_by(COLUMNS.name).limit(bindparam("most")),
        {"most": 1},
    ),
    "a percent sign": (
        select(COLUMNS.name).where(COLUMNS.name.contains(bindparam("part"), escape="/")),
        {"part": "/%"},
    ),
    "no row": (select(COLUMNS.name).where(COLUMNS.owner == bindparam("who")), {"who": "nobody"}),
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    catalog = Catalog(engine)
    catalog.add(make_record(name="100%.img"), FREE)
    catalog.add(make_record("00000000-0000-4000-8000-000000000002", name="other.img"), FREE)
    catalog.complete(IMAGE_ID, "u1", DISK, NOW)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", STATEMENTS)
def test_rows_are_those_of_sqlalchemy(engine: Engine, name: str) -> None:
    statement, values = STATEMENTS[name]
    prepared = PreparedSelects(engine)
    for _ in range(2):
        found = prepared.all(statement, values)
        with engine.connect() as connection:
            expected = [tuple(row) for row in connection.execute(statement, values)]
        assert sorted(found, key=repr) == sorted(expected, key=repr)
        assert [list(map(type, row)) for row in found] == [list(map(type, row)) for row in expected]
    assert bool(found) == (name != "no row")


def test_first_is_the_first_row_or_none(engine: Engine) -> None:
    prepared = PreparedSelects(engine)
    statement = select(COLUMNS.name).where(COLUMNS.owner == bindparam("who")).order_by(COLUMNS.name)
    assert prepared.first(statement, {"who": "alice"}) == ("100%.img",)
    assert prepared.first(statement, {"who": "nobody"}) is None


def test_a_connection_that_failed_is_not_used_again(engine: Engine) -> None:
    prepared = PreparedSelects(engine)
    broken = select(text("1")).select_from(text("no_such_table"))
    with engine.connect() as connection:
        before = connection.connection.dbapi_connection
    with pytest.raises(CatalogUnavailable, match="does not answer"):
        prepared.all(broken, {})
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is not before
    statement, values = STATEMENTS["all columns"]
    assert len(prepared.all(statement, values)) == 2


def test_a_connection_goes_back_as_it_came(engine: Engine) -> None:
    """A writing transaction that takes it next must be one, not statements that commit by themselves."""
    statement, values = STATEMENTS["all columns"]
    PreparedSelects(engine).all(statement, values)
    with engine.begin() as connection:
        connection.execute(ImageRow.__table__.update().values(name="changed"))
        connection.rollback()
    assert {row[4] for row in PreparedSelects(engine).all(statement, values)} == {"100%.img", "other.img"}
