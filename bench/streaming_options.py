"""The command line of streaming.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streaming_plan import CONTROL as ROUTES
from streaming_plan import WORKLOADS
from streaming_servers import EDGES, NGINX, SERVERS, find_tool

EPILOG = """servers: {servers}
workloads: {workloads}
control plane, on a gateway of its own with CloudFront cookies: {routes}

examples:
  python bench/streaming.py --rounds 5 --only store,gateway --workloads 64k-32 --json speed.json
  python bench/streaming.py --only store,edge-empty --workloads replay-32 --set EDGE_SLICE_BYTES=262144"""


def parse_options(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [*(workload.name for workload in WORKLOADS), *ROUTES]
    parser = argparse.ArgumentParser(
        description=description,
        epilog=EPILOG.format(
            servers=", ".join(SERVERS),
            workloads=", ".join(workload.name for workload in WORKLOADS),
            routes=", ".join(ROUTES),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=int, default=4, help="length of each measurement (4)")
    parser.add_argument("--size", type=int, default=512, metavar="MIB", help="size of the image (512)")
    parser.add_argument("--only", type=_names(SERVERS), default=list(SERVERS), metavar="SERVER,…")
    parser.add_argument("--workloads", type=_names(names), default=names, metavar="WORKLOAD,…")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="a look: 1 round of 1 s, 64 MiB")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="setting of the gateways and edges",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.size = 1, 1, 64
    if min(options.rounds, options.seconds, options.size) < 1:
        parser.error("--rounds, --seconds and --size must be at least 1")
    return options


def _names(known: Sequence[str]) -> Any:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: must be of {', '.join(known)}")
        return names

    return read


def _setting(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def require_tools(wanted: Sequence[str]) -> None:
    tools = ["wrk", "nginx"] if {NGINX, *EDGES} & set(wanted) else ["wrk"]
    if missing := [tool for tool in tools if find_tool(tool) is None]:
        raise SystemExit(f"{' and '.join(missing)} missing: apt-get install nginx-light wrk")
