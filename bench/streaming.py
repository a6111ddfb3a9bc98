"""Speed of reading an image: the store directly, nginx before it, the gateway cold and warm from its cache,
and the edge (nginx before the gateway) warm, without a cache and with an empty one.

All run side by side on this machine over the same object, interleaved over several rounds; load generator,
server and store share its processors. Before that every server's answers are checked byte for byte. Prints
the median over rounds of throughput, latency, CPU and memory, and the ratios to the direct store, to nginx as
a plain proxy and to gunicorn without a cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from stopping import run_until_stopped
from streaming_edge import Fetches
from streaming_options import parse_options, require_tools
from streaming_plan import CONTROL_CONNECTIONS, MIB, WORKLOADS, Call, Workload, read_call
from streaming_reader import Load, read_large, replay
from streaming_report import Sample, medians, ratio_table, results_table, server_ratios, workload_ratios
from streaming_servers import (
    CACHE,
    CONTROL,
    EDGE,
    EDGES,
    EMPTY,
    GATEWAY,
    NGINX,
    STORE,
    USER,
    Bench,
    Server,
    find_tool,
    running_servers,
    write_image,
)
from streaming_usage import PeakMemory, cpu_seconds, memory_of
from streaming_verify import verify_control, verify_reads, warm
from streaming_wrk import run_wrk

REPLAY_SECONDS = 20
BASES = {STORE: "the direct store", NGINX: "nginx as a plain proxy", GATEWAY: "gunicorn without a cache"}
NOTES = (
    "load generator, server and store share this machine's processors",
    "CPU s/1k and s/GiB: of the server alone with its children; store s/1k: of the store meanwhile",
    "1 MiB and whole images are read by a loop that drops bytes in the kernel (MSG_TRUNC), the rest by wrk",
    "64 KiB, 4 KiB and trace reads start at multiples of 4 KiB, so some touch two blocks of the cache",
    "edges: CPU and memory of nginx and the gateway behind it; edge-empty starts each replay with no cache",
    f"a replay is cut after {REPLAY_SECONDS} s: then its figures are of the part that was read",
)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Measuring:
    """Runs the workloads over the servers of a bench."""

    def __init__(self, bench: Bench, image: Path, options: argparse.Namespace, folder: Path) -> None:
        self._bench, self._image, self._options, self._folder = bench, image, options, folder
        self._size = image.stat().st_size
        self._workloads = [workload for workload in WORKLOADS if workload.name in options.workloads]
        self._routes = [call for call in bench.control_calls if call.name in options.workloads]
        self._readers = [server for name, server in bench.servers.items() if name != CONTROL]
        self.fetches: list[Fetches] = []
        self.memory: dict[str, list[int]] = {}

    def verify(self) -> dict[str, dict[str, int]]:
        """Check answers, byte for byte, and warm the cache; server → workload → answers checked."""
        checked: dict[str, dict[str, int]] = {}
        for server in self._readers:
            say(f"verifying {server.name}")
            if server.name in (CACHE, EDGE):
                warm(server, self._image)
            checked[server.name] = {
                workload.name: verify_reads(server, workload, self._image) for workload in self._workloads
            }
        for call in self._routes:
            server = self._bench.servers[CONTROL]
            checked.setdefault(CONTROL, {})[call.name] = verify_control(server, call, self._size)
        return checked

    def samples(self) -> Iterator[Sample]:
        """Measure everything, round by round; every round begins with another server."""
        for number in range(self._options.rounds):
            say(f"round {number + 1} of {self._options.rounds}")
            for workload in self._workloads:
                for server in _rotated(self._readers, number):
                    if server.name == EMPTY and not workload.replay:
                        continue
                    calls = [
                        read_call(read, server.host, server.target, self._size)
                        for read in workload.plan(self._size)
                    ]
                    yield self._measure(server, workload.name, number, workload, calls)
            for route in self._routes:
                server = self._bench.servers[CONTROL]
                yield self._measure(server, route.name, number, None, [route.call(server.host, USER)])

    def note_memory(self) -> None:
        """Look at the resident memory of each edge's nginx; edge-empty's starts anew with every round."""
        for server in self._readers:
            if server.name in EDGES and server.name != EMPTY:
                self.memory.setdefault(server.name, []).append(memory_of(server.pids[0])[0])

    def _measure(
        self, server: Server, name: str, number: int, workload: Workload | None, calls: list[Call]
    ) -> Sample:
        store = self._bench.store_pid
        if server.name == EMPTY:
            server = server.emptied()
        own, behind, began = _cpu_of(server), cpu_seconds(store), time.perf_counter()
        with PeakMemory(*server.pids) as peak:
            load = self._load(server, workload, calls)
            wall = time.perf_counter() - began
            own, behind = _cpu_of(server) - own, cpu_seconds(store) - behind
        if server.name == EMPTY and server.edge:
            self.fetches.append(server.edge.fetches())
        if load.complaint:
            say(f"  {name}, {server.name}: {load.errors} errors: {load.complaint}")
        return Sample(
            server=server.name,
            workload=name,
            round=number,
            server_cpu=own,
            store_cpu=behind,
            wall=wall,
            peak_rss=peak.rss,
            peak_pss=peak.pss,
            **asdict(load),
        )

    def _load(self, server: Server, workload: Workload | None, calls: list[Call]) -> Load:
        seconds = self._options.seconds
        if workload and workload.replay:
            return replay(server.address, calls, workload.connections, REPLAY_SECONDS)
        if workload and workload.large:
            return read_large(server.address, calls, workload.connections, seconds)
        return run_wrk(
            server.address,
            calls,
            workload.connections if workload else CONTROL_CONNECTIONS,
            seconds,
            step=workload is not None and workload.step,
            plan=self._folder / "plan.lua",
        )


def _cpu_of(server: Server) -> float:
    return sum(map(cpu_seconds, server.pids))


def _rotated(servers: list[Server], turns: int) -> list[Server]:
    turns %= len(servers) or 1
    return servers[turns:] + servers[:turns]


def machine() -> dict[str, object]:
    def version(*command: str) -> str:
        tool = find_tool(command[0])
        if tool is None:
            return "missing"
        run = subprocess.run([tool, *command[1:]], capture_output=True, text=True, check=False)
        return (run.stdout + run.stderr).splitlines()[0]

    return {
        "processors": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "wrk": version("wrk", "-v").partition(" Copyright")[0],
        "nginx": version("nginx", "-v"),
        "notes": NOTES,
    }


def report(samples: Sequence[Sample], options: argparse.Namespace) -> dict[str, object]:
    """Print the tables; return what they hold."""
    titles = {workload.name: workload.title for workload in WORKLOADS}
    results = medians(samples)
    to_metadata = workload_ratios([s for s in samples if s.server == CONTROL], base="metadata")
    to_servers = {base: server_ratios(samples, base=base) for base in BASES}
    print(f"\n{options.size} MiB, medians of {options.rounds} x {options.seconds} s (errors: sums)")
    print("\n".join(f"- {note}" for note in NOTES))
    print(f"\n{results_table(results, titles)}")
    found = {"metadata": to_metadata} | {title: to_servers[base] for base, title in BASES.items()}
    for title, ratios in found.items():
        if ratios:
            print(f"\nRatios to {title} (median of each round's)\n\n{ratio_table(ratios, titles)}")
    return {
        "medians": results,
        "ratios_to_metadata": to_metadata,
        **{f"ratios_to_{base}": ratios for base, ratios in to_servers.items()},
    }


def run(options: argparse.Namespace) -> None:
    conditions = machine()
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        folder = Path(scratch)
        image = folder / "disk.img"
        write_image(image, options.size * MIB)
        with running_servers(folder, image, options.only, dict(options.set), say) as bench:
            measuring = Measuring(bench, image, options, folder)
            checked = measuring.verify()
            measuring.note_memory()
            samples = list(measuring.samples())
            measuring.note_memory()
    tables = report(samples, options)
    for name, (before, after) in measuring.memory.items():
        print(f"\n{name}: nginx had {before / MIB:.1f} MiB resident before, {after / MIB:.1f} MiB after")
    for found in measuring.fetches:
        print(f"\n{EMPTY}: {found.total} requests to the store for {found.distinct} different slices")
    if options.json:
        document = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": conditions,
            "options": {
                "rounds": options.rounds,
                "seconds": options.seconds,
                "size_mib": options.size,
                "settings": dict(options.set),
            },
            "load_average_after": os.getloadavg(),
            "answers_verified": checked,
            "edge_memory": measuring.memory,
            "edge_fetches": [asdict(found) for found in measuring.fetches],
            **tables,
            "samples": [asdict(sample) for sample in samples],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def main() -> None:
    options = parse_options(__doc__)
    require_tools(options.only)
    run_until_stopped(lambda: run(options))


if __name__ == "__main__":
    main()
