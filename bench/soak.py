"""Whether a gateway stays as it is under everything that clients do to it, for as long as one likes.

Run `python bench/soak.py [--seconds 1800] [--clients 12] [--cache]`. An embedded store and a gateway of two
workers get ranges, whole reads, clients that leave or stall, nonsense, refused requests, uploads and leases,
in laps. After each lap the load rests until sockets and threads have settled; then memory (summed PSS without
mapped files), descriptors and threads of all gateway processes are noted. The first laps warm up, with more
clients than the gateway has threads. Over the laps after that, memory may grow by 1 % per 100,000 requests,
or by 4 MiB in all where that is more. Exits with 1 when it grows further, when descriptors or threads grow,
when a worker was lost, or when an answer was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

from soak_load import DATA, MIB, SEND_TIMEOUT, USER, Client, Tally
from streaming_usage import anonymous_memory_of, processes_of

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.stack import running_stack

LAPS, WARM_UP = 12, 6
STALLERS = 2
SETTLED_SECONDS, MOST_SECONDS_TO_SETTLE = 2.0, 30.0
# A rate, not a total: whatever total one allows, a leak stays below it when the soak is short enough.
MOST_GROWTH, PER_REQUESTS = 0.01, 100_000
# The allocator's own ups and downs: a short soak cannot tell them from growth.
NOISE_BYTES = 4 * MIB
# A connection to the catalog or the store more in each worker.
MORE_DESCRIPTORS, MORE_THREADS = 6, 2
THREADS = 8


@dataclass(frozen=True)
class Usage:
    """What the gateway's processes hold at rest."""

    requests: int
    processes: tuple[int, ...]
    memory: int
    descriptors: int
    threads: int


def usage_of(pid: int, requests: int) -> Usage:
    processes = tuple(sorted(processes_of(pid)))
    descriptors, threads = (
        sum(len(os.listdir(f"/proc/{process}/{folder}")) for process in processes)
        for folder in ("fd", "task")
    )
    return Usage(requests, processes, anonymous_memory_of(pid), descriptors, threads)


def settled_usage(pid: int, requests: int) -> Usage:
    """The usage after so many requests, when descriptors and threads have not changed for a while."""
    deadline = time.monotonic() + MOST_SECONDS_TO_SETTLE
    usage, since = usage_of(pid, requests), time.monotonic()
    while time.monotonic() < min(deadline, since + SETTLED_SECONDS):
        time.sleep(0.2)
        now = usage_of(pid, requests)
        if (now.descriptors, now.threads) != (usage.descriptors, usage.threads):
            since = time.monotonic()
        usage = now
    return usage


def memory_slope(laps: Sequence[Usage]) -> float:
    """Bytes that a request adds: the median slope between any two laps, which one odd lap does not move."""
    slopes = [
        (later.memory - earlier.memory) / (later.requests - earlier.requests)
        for earlier, later in combinations(laps, 2)
        if later.requests > earlier.requests
    ]
    return median(slopes) if slopes else 0.0


def growth_of(laps: Sequence[Usage]) -> float:
    """The share of the first lap's memory that 100,000 requests add."""
    return memory_slope(laps) * PER_REQUESTS / laps[0].memory


def find_faults(laps: Sequence[Usage]) -> list[str]:
    """What is not flat from the first of these laps to the last."""
    first, last = laps[0], laps[-1]
    faults = []
    if first.processes != last.processes:
        faults.append(f"processes came or went: {first.processes} became {last.processes}")
    added = memory_slope(laps) * (last.requests - first.requests)
    if growth_of(laps) > MOST_GROWTH and added > NOISE_BYTES:
        faults.append(
            f"memory grew by {growth_of(laps):.1%} per {PER_REQUESTS:,} requests, "
            f"from {first.memory / MIB:.1f} to {last.memory / MIB:.1f} MiB"
        )
    if last.descriptors > first.descriptors + MORE_DESCRIPTORS:
        faults.append(f"descriptors grew from {first.descriptors} to {last.descriptors}")
    if last.threads > first.threads + MORE_THREADS:
        faults.append(f"threads grew from {first.threads} to {last.threads}")
    return faults


def run_lap(url: str, image_id: str, clients: int, seconds: float, lap: int, tally: Tally) -> None:
    """Let all clients do what they do for so many seconds."""
    stop = threading.Event()
    # Other dice in each lap.
    made = [Client(url, image_id, 1000 * lap + number, tally) for number in range(clients + STALLERS)]
    runs = [made.run for made in made[STALLERS:]] + [made.run_stalls for made in made[:STALLERS]]
    threads = [threading.Thread(target=run, args=(stop,)) for run in runs]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1800, help="how long, resting included, about")
    parser.add_argument("--clients", type=int, default=12, help=f"besides {STALLERS} that only stall")
    parser.add_argument("--cache", action="store_true", help="with the block cache")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    tally, laps = Tally(), []
    with tempfile.TemporaryDirectory(prefix="image-gateway-soak-") as scratch:
        folder = Path(scratch)
        (folder / "disk.img").write_bytes(DATA)
        variables = {
            "PATH": os.environ["PATH"],
            "WEB_WORKERS": "2",
            "WEB_THREADS": str(THREADS),
            "SEND_TIMEOUT_SECONDS": str(SEND_TIMEOUT),
            "RATE_LIMITS": "false",
            "LOG_LEVEL": "error",
        }
        if options.cache:
            variables["RANGE_CACHE_DIR"] = str(folder / "cache")
        with running_stack(
            folder, variables, gateway_port=None, on_step=lambda _: None, say=print, cwd=folder
        ) as stack:
            client = GatewayClient(stack.gateway.url, USER)
            uploaded = upload_file(client, folder / "disk.img", parallel=2, on_bytes=lambda _: None)
            pid, ends = stack.gateway.process.pid, time.monotonic() + options.seconds
            for lap in range(LAPS):
                left = (ends - time.monotonic()) / (LAPS - lap)
                seconds = max(1.0, left - SETTLED_SECONDS)
                clients = options.clients if lap >= WARM_UP else max(options.clients, 3 * THREADS)
                run_lap(stack.gateway.url, uploaded.image_id, clients, seconds, lap, tally)
                laps.append(settled_usage(pid, tally.done.total()))
                print(describe(lap, laps[-1], tally), flush=True)
    faults = find_faults(laps[WARM_UP:])
    if tally.wrong:
        faults.append(f"{tally.wrong} answers were wrong")
    print(make_table(laps))
    report = {
        "flat": not faults,
        "growth_per_100000_requests": growth_of(laps[WARM_UP:]),
        "faults": faults,
        "done": dict(tally.done),
        "busy": tally.busy,
        "complaints": tally.complaints,
        "laps": [asdict(lap) for lap in laps],
    }
    print(json.dumps(report, indent=2))
    return 1 if faults else 0


def make_table(laps: Sequence[Usage]) -> str:
    """A line for each lap; growth is that since the first lap after warming up."""
    rows = [("lap", "requests", "MiB", "descriptors", "threads", f"% per {PER_REQUESTS:,}")]
    for number, lap in enumerate(laps):
        growth = f"{100 * growth_of([laps[WARM_UP], lap]):+.2f}" if number > WARM_UP else "-"
        memory = f"{lap.memory / MIB:.1f}"
        rows.append(
            (str(number + 1), f"{lap.requests:,}", memory, str(lap.descriptors), str(lap.threads), growth)
        )
    lines = ["".join(cell.rjust(14) for cell in row) for row in rows]
    slope = (
        f"median slope after {WARM_UP} laps: {growth_of(laps[WARM_UP:]):+.2%} per {PER_REQUESTS:,} requests"
    )
    return "\n".join([*lines, slope])


def describe(lap: int, usage: Usage, tally: Tally) -> str:
    return (
        f"lap {lap + 1} of {LAPS}{' (warming up)' if lap < WARM_UP else ''}: {usage.memory / MIB:.1f} MiB, "
        f"{usage.descriptors} descriptors, {usage.threads} threads, {tally.done.total()} requests, "
        f"{tally.wrong} wrong"
    )


if __name__ == "__main__":
    sys.exit(main())
