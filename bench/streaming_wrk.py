"""Runs wrk with streaming_wrk.lua over a plan of calls."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from streaming_plan import Call
from streaming_reader import Load

SCRIPT = Path(__file__).with_name("streaming_wrk.lua")
TIMEOUT_SECONDS = 30


def write_plan(path: Path, calls: Sequence[Call]) -> None:
    """Write calls as a Lua table; JSON's strings of ASCII are Lua's."""
    rows = [f"{{{json.dumps(call.head)}, {-1 if call.length is None else call.length}}}," for call in calls]
    path.write_text("\n".join(["return {", *rows, "}", ""]))


def parse_result(output: str) -> Load:
    """Read the line that streaming_wrk.lua's `done` writes."""
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    count, body_bytes, micros, errors, p50, p99, *complaint = line.split(" ", 7)[1:]
    return Load(
        requests=int(count),
        bytes=int(body_bytes),
        seconds=int(micros) / 1e6,
        errors=int(errors),
        p50=int(p50) / 1000,
        p99=int(p99) / 1000,
        complaint="".join(complaint).strip(),
    )


def run_wrk(
    address: tuple[str, int], calls: Sequence[Call], connections: int, seconds: int, *, step: bool, plan: Path
) -> Load:
    """Load a server for `seconds`; one thread for each connection in `step`, else at most two."""
    write_plan(plan, calls)
    command = [
        shutil.which("wrk") or "wrk",
        f"-t{connections if step else min(2, connections)}",
        f"-c{connections}",
        f"-d{seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
        f"--script={SCRIPT}",
        f"http://{address[0]}:{address[1]}",
        "--",
        str(plan),
        str(calls[0].status),
        "step" if step else "share",
    ]
    before = _children_cpu()
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode or "RESULT " not in run.stdout:
        raise SystemExit(f"wrk failed with status {run.returncode}:\n{run.stdout}{run.stderr}")
    load = parse_result(run.stdout)
    load.generator_cpu = _children_cpu() - before
    return load


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
