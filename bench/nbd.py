"""Speed of the NBD server beside nbdkit with its Python plugin, and beside nbdkit's own disk in memory.

Run `python bench/nbd.py [--seconds 5] [--rounds 3]` (apt-get install nbdkit nbdkit-plugin-python fio). The
two servers in Python have the same disk behind them, a dictionary of blocks of 4 KiB in memory, so that the
protocol is what differs; the third shows what a server in C does. Fio's nbd engine is the client of all.
CPU time is the servers', without fio's. Ratios are medians of those of each round: 1 is as fast as nbdkit
with its Python plugin, or takes as much CPU time for an operation, of which less is better.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nbd_backend import SIZE, BlockDisk

from image_gateway.nbd.disk_commands import DiskCommands, export_of
from image_gateway.nbd.listener import unix_listener
from image_gateway.nbd.server import NbdServer

FOLDER = Path(__file__).parent
OURS, PLUGIN, MEMORY = "image_gateway.nbd", "nbdkit, Python plugin", "nbdkit, memory plugin"
LOADS = {
    "4 KiB writes, 1 in flight": ("randwrite", "4k", 1),
    "4 KiB writes, 16 in flight": ("randwrite", "4k", 16),
    "4 KiB reads, 1 in flight": ("randread", "4k", 1),
    "4 KiB reads, 16 in flight": ("randread", "4k", 16),
    "1 MiB writes, 4 in flight": ("write", "1m", 4),
    "1 MiB reads, 4 in flight": ("read", "1m", 4),
}
START_SECONDS = 20

# Operations per second, and microseconds of CPU time per operation.
Rates = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each load in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    rounds = [run_round(options.seconds) for _ in range(options.rounds)]
    results = {
        "operations_per_second": summarize(rounds, "operations per second", lambda rates: rates[0]),
        "cpu_microseconds": summarize(rounds, "CPU microseconds per operation", lambda rates: rates[1]),
    }
    print(json.dumps(results))


def summarize(
    rounds: list[dict[str, dict[str, Rates]]], title: str, pick: Callable[[Rates], float]
) -> dict[str, dict[str, float]]:
    """Print the medians of one figure, and return the ratio to the Python plugin with them, by load."""
    print(f"{title:<32}" + "".join(f"{name:>24}" for name in (OURS, PLUGIN, MEMORY)) + f"{'ratio':>8}")
    results = {}
    for load in LOADS:
        medians = {name: statistics.median(pick(each[name][load]) for each in rounds) for name in rounds[0]}
        ratio = statistics.median(pick(each[OURS][load]) / pick(each[PLUGIN][load]) for each in rounds)
        print(f"{load:<32}" + "".join(f"{medians[name]:>24.0f}" for name in medians) + f"{ratio:>8.2f}")
        results[load] = {**medians, "ratio": round(ratio, 2)}
    return results


def run_round(seconds: int) -> dict[str, dict[str, Rates]]:
    """Return the rates of each load, by server."""
    rates = {}
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as folder:
        path = Path(folder, "disk.sock")
        nbdkit = ["nbdkit", "--foreground", "--unix", str(path)]
        commands = {
            OURS: [sys.executable, __file__, "--serve", str(path)],
            PLUGIN: [*nbdkit, "python", str(FOLDER / "nbd_plugin.py")],
            MEMORY: [*nbdkit, "memory", str(SIZE)],
        }
        for name, command in commands.items():
            with running(command, path) as pid:
                rates[name] = {load: run_fio(path, pid, *LOADS[load], seconds) for load in LOADS}
    return rates


def serve(path: Path) -> None:
    """Serve a disk in memory until SIGTERM."""
    disk = BlockDisk()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    commands = DiskCommands(disk, lambda _: errno.EIO)
    with unix_listener(path) as listener, NbdServer(listener, export_of(disk, ""), commands, say=print):
        signal.sigwait({signal.SIGTERM})


@contextmanager
def running(command: list[str], path: Path) -> Iterator[int]:
    """Run a server that listens at `path`; yields the id of its process."""
    server = subprocess.Popen(command, env={**os.environ, "BENCH_FOLDER": str(FOLDER)})
    try:
        deadline = time.monotonic() + START_SECONDS
        while not path.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"did not start: {command}")
            time.sleep(0.05)
        yield server.pid
    finally:
        server.terminate()
        server.wait()
        path.unlink(missing_ok=True)


def run_fio(path: Path, pid: int, kind: str, size: str, depth: int, seconds: int) -> Rates:
    """Run one load on a server's process."""
    fio = [
        *("fio", "--name=load", "--output-format=json", "--ioengine=nbd"),
        *(f"--uri=nbd+unix:///?socket={path}", f"--rw={kind}", f"--bs={size}", f"--iodepth={depth}"),
        *(f"--size={SIZE}", "--randrepeat=1", "--time_based", f"--runtime={seconds}"),
    ]
    before = cpu_seconds(pid)
    done = subprocess.run(fio, check=True, capture_output=True, text=True)
    spent = cpu_seconds(pid) - before
    (job,) = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
    operations = job["read"]["total_ios"] + job["write"]["total_ios"]
    return float(job["read"]["iops"] + job["write"]["iops"]), 1e6 * spent / operations


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process; the name in its status may contain blanks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
