"""Cost of commits to deltas and of reads through them, as ratios to what runs beside them.

Starts an embedded store (SeaweedFS) and a gateway of two gunicorn workers, and measures
- commits of single 4 KiB blocks at random places, beside a bare PUT of the same bytes to the store, in turns;
- blocks written a second, in commits of 256 by one writer after the other answer;
- reads of ranges that a delta left as they were, beside the same reads of its base, in turns.
Figures are medians; a ratio is that of the medians. The store's disk and the machine are the same for both
sides, so that a busy machine changes the ratios little.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import urllib3
from delta_stack import BLOCK, KIB, MIB, DeltaStack, Writer, put, random_segment, running_delta_stack
from stopping import run_until_stopped
from streaming_report import render

EXAMPLE = "example: python bench/deltas.py --rounds 50 --only commits,reads"
# The last is about as much as a commit may have.
COMMITTED_BLOCKS = (1, 256, 1024, 2000)
BATCH = 256
WRITTEN_BELOW = 0.5
READ_SIZES = (4 * KIB, 64 * KIB, MIB)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure_commits(stack: DeltaStack, rounds: int) -> list[dict[str, object]]:
    """Time commits of several sizes, each beside a PUT of the same segment."""
    found, dice, urls = [], random.Random(2), stack.put_urls()
    with urllib3.PoolManager(retries=False) as pool:
        for count in COMMITTED_BLOCKS:
            writer = Writer(stack)
            commits, puts = [], []
            for _ in range(rounds):
                segment = random_segment(dice, writer.blocks, min(count, writer.blocks))
                commits.append(writer.commit(segment))
                puts.append(put(pool, next(urls), segment))
            found.append(compare(f"commit of {count} blocks, a PUT beside it", commits, puts))
    return found


def measure_writes(stack: DeltaStack, rounds: int) -> list[dict[str, object]]:
    """Count the blocks a second of one writer that has its segments ready."""
    writer, dice = Writer(stack), random.Random(3)
    count = min(BATCH, writer.blocks)
    segments = [random_segment(dice, writer.blocks, count) for _ in range(rounds)]
    began = time.perf_counter()
    for segment in segments:
        writer.commit(segment)
    seconds = time.perf_counter() - began
    return [
        {"what": f"blocks of 4 KiB a second, in commits of {count}", "value": round(rounds * count / seconds)}
    ]


def measure_reads(stack: DeltaStack, rounds: int) -> list[dict[str, object]]:
    """Time reads of the half of a disk that was not written, by a lease of the delta and one of the base."""
    writer, dice = Writer(stack), random.Random(4)
    written = int(writer.blocks * WRITTEN_BELOW)
    for _ in range(max(2, rounds // 10)):
        writer.commit(random_segment(dice, written, min(BATCH, written)))
    delta, base = stack.lease_url(deltaId=writer.delta_id), stack.lease_url(imageId=stack.image_id)
    untouched, found = range(written * BLOCK, stack.image_size), []
    with urllib3.PoolManager(retries=False) as pool:
        for size in READ_SIZES:
            if size < len(untouched):
                read_one = partial(read, pool, size)
                times = alternate(rounds, untouched[: len(untouched) - size], read_one, (delta, base))
                what = f"read of {size // KIB} KiB that no commit wrote, of the base beside it"
                found.append(compare(what, *times))
    return found


def alternate(
    rounds: int, starts: range, work: Callable[[int, str], float], urls: tuple[str, str]
) -> tuple[list[float], list[float]]:
    """Time the same reads by two URLs, which take turns in being first."""
    dice, times = random.Random(5), {url: list[float]() for url in urls}
    for url in urls:
        work(starts[0], url)
    for turn in range(rounds):
        start = dice.choice(starts[::BLOCK])
        for url in urls if turn % 2 else urls[::-1]:
            times[url].append(work(start, url))
    return times[urls[0]], times[urls[1]]


def read(pool: urllib3.PoolManager, size: int, start: int, url: str) -> float:
    began = time.perf_counter()
    answer = pool.request("GET", url, headers={"Range": f"bytes={start}-{start + size - 1}"})
    if answer.status != 206 or len(answer.data) != size:
        raise SystemExit(f"a read was answered {answer.status} with {len(answer.data)} bytes")
    return time.perf_counter() - began


def compare(what: str, times: list[float], beside: list[float]) -> dict[str, object]:
    mine, other = median(times), median(beside)
    return {
        "what": what,
        "ms": round(mine * 1000, 2),
        "beside_ms": round(other * 1000, 2),
        "ratio": round(mine / other, 2),
    }


MEASURES = {"commits": measure_commits, "writes": measure_writes, "reads": measure_reads}


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, help="how often each thing is measured (200)")
    parser.add_argument("--image-mib", type=int, default=256, help="size of the base (256)")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"{', '.join(MEASURES)} (all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.image_mib) < 1:
        parser.error("--rounds and --image-mib must be at least 1")
    options.chosen = options.only.split(",") if options.only else list(MEASURES)
    if unknown := set(options.chosen) - set(MEASURES):
        parser.error(f"--only {', '.join(sorted(unknown))}: must be of {', '.join(MEASURES)}")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as folder:
        say("starting a store and a gateway")
        with running_delta_stack(Path(folder), options.image_mib * MIB) as stack:
            found = []
            for name in options.chosen:
                say(f"measuring {name}")
                found += MEASURES[name](stack, options.rounds)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "figures": found}, indent=2))
        return
    columns = ("ms", "beside_ms", "ratio", "value")
    rows = [[str(figure["what"]), *(str(figure.get(column, "")) for column in columns)] for figure in found]
    print(render(["", "ms", "ms beside it", "ratio", "number"], rows))


if __name__ == "__main__":
    run_until_stopped(main)
