"""Time of every call of the catalog at growing numbers of images, as ratios to the smallest.

For each size a database of its own is filled, with leases, shares, sessions, audit entries and jobs in
proportion. The calls are those of requests, workers, sweeps and metrics. The sizes take turns, so that a busy
machine slows all of them; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from catalog_arguments import Call
from catalog_calls import calls_by_group
from catalog_rows import DATED, add_old, fill, vacuum
from catalog_sweep_calls import FORGETS
from sqlalchemy import Engine, create_engine, make_url, text
from streaming_report import render

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog

EXAMPLE = """examples:
  python bench/catalog.py                                   SQLite, 1,000 and 100,000 images
  make bench-catalog-postgres                               PostgreSQL, also 3,000,000 images
  python bench/catalog.py --sizes 1000,10000 --only sweeps --json
"""
SMALLEST = 400


@dataclass(frozen=True)
class Filled:
    """A filled database of one size."""

    images: int
    engine: Engine
    calls: dict[str, list[Call]]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def new_database(server: str | None, folder: str) -> Iterator[str]:
    """A database with nothing in it, which is gone on leaving: a file, or one of a PostgreSQL server."""
    name = f"bench_{uuid.uuid4().hex}"
    if server is None:
        yield f"sqlite:///{folder}/{name}.db"
        return
    url = make_url(server)
    admin = create_engine(url, isolation_level="AUTOCOMMIT", hide_parameters=True)
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()


def filled(url: str, images: int, batch: int) -> Filled:
    engine = open_engine(url)
    upgrade(engine)
    began = time.monotonic()
    fill(engine, 0, images)
    add_old(engine, 0, FORGETS * batch)
    vacuum(engine)
    say(f"filled a catalog of {images:,} images in {time.monotonic() - began:.0f} s")
    return Filled(images, engine, calls_by_group(Catalog(engine), images, batch))


def measure(databases: list[Filled], group: str, number: int, turns: int) -> list[float]:
    """Return the median milliseconds of a call on each database."""
    calls = [each.calls[group][number] for each in databases]
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(min(turns, calls[0].most_turns or turns)):
        for call, seconds in zip(calls, times, strict=True):
            argument = call.prepare(turn)
            began = time.perf_counter()
            call.run(argument)
            seconds.append(time.perf_counter() - began)
    return [statistics.median(each) * 1000 for each in times]


def bytes_per_row(database: Filled) -> dict[str, tuple[int, int]]:
    """Return rows, and bytes of a row with its indexes, of each table of a PostgreSQL."""
    found = {}
    with database.engine.connect() as connection:
        for table in (*DATED, "usage"):
            rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            size = connection.execute(text(f"SELECT pg_total_relation_size('{table}')")).scalar_one()
            found[table] = (rows, round(size / max(rows, 1)))
    return found


def bytes_per_image(database: Filled) -> int:
    """Return the bytes of the whole database for each image, with what belongs to it."""
    sizes = {
        "postgresql": "SELECT pg_database_size(current_database())",
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    }
    with database.engine.connect() as connection:
        size = connection.execute(text(sizes[database.engine.dialect.name])).scalar_one()
    return round(size / database.images)


def report(databases: list[Filled], groups: list[str], turns: int) -> dict[str, dict[str, list[float]]]:
    return {
        group: {
            call.name: measure(databases, group, number, turns)
            for number, call in enumerate(databases[0].calls[group])
        }
        for group in groups
    }


def table(databases: list[Filled], found: dict[str, dict[str, list[float]]]) -> str:
    rows = [
        [group, name, *(f"{ms:.2f}" for ms in times), *(f"{ms / times[0]:.2f}" for ms in times[1:])]
        for group, calls in found.items()
        for name, times in calls.items()
    ]
    sizes = [f"{each.images:,}" for each in databases]
    return render(
        ["", "call", *(f"ms at {size}" for size in sizes), *(f"ratio {s}" for s in sizes[1:])], rows
    )


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", metavar="URL", help="a PostgreSQL server (new SQLite files)")
    parser.add_argument("--sizes", default="1000,100000", help="numbers of images (1000,100000)")
    parser.add_argument("--turns", type=int, default=50, help="how often each call is measured (50)")
    parser.add_argument("--batch", type=int, default=500, help="rows of a page of the sweeper (500)")
    parser.add_argument("--only", default="", metavar="GROUP,…", help="lists, reads, sweeps, … (all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        options.sizes = sorted(int(size) for size in options.sizes.split(","))
    except ValueError:
        parser.error(f"--sizes must be numbers, such as 1000,100000, not {options.sizes}")
    if options.sizes[0] < SMALLEST:
        parser.error(f"--sizes must be at least {SMALLEST}, not {options.sizes[0]}")
    if min(options.turns, options.batch) < 1:
        parser.error("--turns and --batch must be at least 1")
    return options


def chosen(databases: list[Filled], only: str) -> list[str]:
    known = list(databases[0].calls)
    if unknown := set(only.split(",")) - {"", *known}:
        raise SystemExit(f"--only {', '.join(sorted(unknown))}: must be of {', '.join(known)}")
    return [group for group in known if not only or group in only.split(",")]


def main(arguments: list[str] | None = None) -> None:
    options = parse_options(arguments)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="image-gateway-bench-"))
        databases = []
        for images in options.sizes:
            url = stack.enter_context(new_database(options.database, folder))
            databases.append(filled(url, images, options.batch))
            stack.callback(databases[-1].engine.dispose)
        found = report(databases, chosen(databases, options.only), options.turns)
        dialect = databases[0].engine.dialect.name
        rows = bytes_per_row(databases[-1]) if dialect == "postgresql" else {}
        per_image = [bytes_per_image(each) for each in databases]
    if options.json:
        document = {"database": dialect, "images": options.sizes, "turns": options.turns, "ms": found}
        sizes = {"bytes_per_image": per_image, "rows_and_bytes_per_row": rows}
        print(json.dumps(document | sizes, indent=2))
        return
    print(f"{dialect}, medians of {options.turns} turns\n\n{table(databases, found)}")
    print(f"\nbytes of the database for each image: {', '.join(f'{size:,}' for size in per_image)}")
    if rows:
        lines = [[name, f"{count:,}", str(size)] for name, (count, size) in rows.items()]
        print(f"\n{render(['table', 'rows', 'bytes per row with indexes'], lines)}")


if __name__ == "__main__":
    main()
