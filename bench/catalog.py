"""Cost of a page of a list, one record and usage at many images, against few, on one database.

Run `python bench/catalog.py [--images 100000] [--few 1000] [--database URL]`. The default is a new SQLite
file; give `--database postgresql+psycopg://…` of an empty database for PostgreSQL. Prints the median time of
each call at both counts and their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, insert, text

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.mapping import row_of
from image_gateway.catalog.models import ImageRow, UsageRow
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageRecord, ImageState, Kind, ListQuery, UploadPlan, Visibility

OWNER = "bench"
START = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 200
BATCH = 5000


def make_row(number: int) -> dict[str, object]:
    created = START + timedelta(seconds=number)
    record = ImageRecord(
        image_id=f"00000000-0000-4000-8000-{number:012d}",
        owner=OWNER,
        base_path="/images",
        version="v",
        name=f"disk {number}",
        kind=Kind.DISK,
        visibility=Visibility.PRIVATE,
        state=ImageState.UPLOADING,
        plan=UploadPlan(f"upload {number}", 5 * 2**20, 2**30, None, created),
        created_at=created,
        updated_at=created,
        reserved_bytes=2**30,
    )
    return row_of(record)


def fill(engine: Engine, first: int, last: int) -> None:
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        for start in range(first, last, BATCH):
            rows = [make_row(number) for number in range(start, min(start + BATCH, last))]
            connection.execute(insert(ImageRow), rows)
        connection.execute(text("DELETE FROM usage"))
        connection.execute(insert(UsageRow).values(owner=OWNER, images=last, bytes=last * 2**30))
    with engine.connect().execution_options(
        isolation_level="AUTOCOMMIT", sqlite_begin="SELECT 1"
    ) as connection:
        connection.execute(text("ANALYZE"))


def measure(call: Callable[[int], object], count: int) -> float:
    """Median milliseconds of a call with numbers spread over all images."""
    times = []
    for turn in range(ROUNDS):
        began = time.perf_counter()
        call(turn * 7919 % count)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def measure_all(catalog: Catalog, count: int) -> dict[str, float]:
    def middle_page(number: int) -> object:
        place = (START + timedelta(seconds=number), f"00000000-0000-4000-8000-{number:012d}")
        return catalog.list(ListQuery(OWNER, 100, after=place))

    return {
        "first page": measure(lambda _: catalog.list(ListQuery(OWNER, 100)), count),
        "page in the middle": measure(lambda number: middle_page(max(number, 100)), count),
        "page by state": measure(lambda _: catalog.list(ListQuery(OWNER, 100, ImageState.UPLOADING)), count),
        "one record": measure(lambda number: catalog.find(f"00000000-0000-4000-8000-{number:012d}"), count),
        "usage": measure(lambda _: catalog.usage(OWNER), count),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        engine = open_engine(options.database or f"sqlite:///{scratch}/catalog.db")
        upgrade(engine)
        catalog = Catalog(engine)
        fill(engine, 0, options.few)
        few = measure_all(catalog, options.few)
        fill(engine, options.few, options.images)
        many = measure_all(catalog, options.images)
        engine.dispose()
    report = {
        name: {
            f"ms_at_{options.few}": round(few[name], 3),
            f"ms_at_{options.images}": round(many[name], 3),
            "ratio": round(many[name] / few[name], 2),
        }
        for name in few
    }
    print(json.dumps({"database": engine.dialect.name, "calls": report}, indent=2))


main()
