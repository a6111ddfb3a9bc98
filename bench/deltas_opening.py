"""Cost of opening a delta with many commits, and one with much data over a large base.

Starts an embedded store, and commits by the gateway's services in this process, with a catalog in SQLite:
- a delta of many commits of one block each: how many objects are opened until its map is there;
- deltas over a base of 100 GB, of runs of 64 KiB in commits of 4 MiB, as a guest writes files, and of single
  blocks of 4 KiB in commits of 8 MiB, all at random places. A gateway of one worker is started for each
  opening: its first HEAD and first read of 64 KiB, by a lease of the delta or one of the base, in turns;
- resident memory of that gateway, and its peak while what was written is read, run by run.
The store has only the first bytes of the base. A proxy before it, for delta and base, tells its full size.
Figures are medians; a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

from delta_cold import PATTERNS, measure_opening, running_cold_stack
from delta_place import BASE_BYTES, Place
from delta_stack import BLOCK, random_segment
from stopping import run_until_stopped
from streaming_report import render

from image_gateway.domain.deltas import COMMITS_PER_CHECKPOINT, Delta


def count_opened(place: Place, delta: Delta) -> int:
    """Open a delta by new services; return how many objects that opened."""
    opened, open_object = list[str](), place.store.open

    def note(key: str, **options: object) -> object:
        opened.append(key)
        return open_object(key, **options)  # type: ignore[arg-type]

    place.store.open = note  # type: ignore[assignment,method-assign]
    try:
        place.services().maps.newest(delta, place.record)
    finally:
        del place.store.open
    return len(opened)


def measure_many(place: Place, commits: int) -> list[list[str]]:
    dice = random.Random(6)
    delta = place.write(random_segment(dice, BASE_BYTES // BLOCK, 1) for _ in range(commits))
    what = f"delta of {commits:,} commits: objects opened, at most {1 + COMMITS_PER_CHECKPOINT}"
    return [[what, str(count_opened(place, delta))]]


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commits", type=int, default=10_000, help="commits of the first delta (10000)")
    parser.add_argument("--written-mib", type=int, default=1024, help="data of each other delta (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="how often those are opened (5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if min(options.commits, options.written_mib, options.rounds) < 1:
        parser.error("--commits, --written-mib and --rounds must be at least 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse_options(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as name,
        running_cold_stack(Path(name)) as stack,
    ):
        rows = measure_many(stack.place, options.commits)
        for pattern in PATTERNS:
            rows += measure_opening(stack, pattern, options.written_mib, options.rounds)
    print(json.dumps(dict(rows), indent=2) if options.json else render(["", "number"], rows))


if __name__ == "__main__":
    run_until_stopped(main)
