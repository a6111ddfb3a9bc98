"""CPU of the gateway's small requests, as ratios to a bare Flask route beside them.

Starts the local store, two gateways (one without a CDN, one with CloudFront cookies and the block cache) and
a Flask app with one JSON route. All three run under gunicorn with the gateway's configuration and the gthread
worker class. wrk asks over 8 kept connections; routes are interleaved over several rounds. Every figure is a
median; a ratio is the median of each round's, so that a busy machine changes it little.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from control_bare import TARGET
from stopping import run_until_stopped
from streaming_plan import KIB, MIB, SECTOR, Call, random_reads, read_call
from streaming_report import render
from streaming_servers import BUCKET, USER, cloudfront_variables, find_tool, write_image
from streaming_usage import cpu_seconds
from streaming_wrk import run_wrk

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.seaweed import start_local_store

EXAMPLE = "example: python bench/control_plane.py --rounds 5 --seconds 3 --only metadata,stream-url-lease"
CONNECTIONS = 8
IMAGE_MIB = 64
LISTED = 50
PARTS = 100
READ = 64 * KIB
TRIES = 3
BARE = "bare"
EDGE_TOKEN = "token-of-the-edge-in-this-benchmark"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A gunicorn that listens on loopback."""

    port: int
    pid: int

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass(frozen=True)
class Route:
    """What is asked of which server; the calls are made in turn."""

    name: str
    server: Server
    calls: Sequence[Call]


@dataclass(frozen=True)
class Sample:
    """One route for some seconds."""

    requests_per_second: float
    cpu_ms: float


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def running_routes(folder: Path, extra: dict[str, str], worker_class: str) -> Iterator[list[Route]]:
    """Start everything and yield what can be asked; all of it is stopped on leaving."""
    image = folder / "disk.img"
    write_image(image, IMAGE_MIB * MIB)
    with ExitStack() as stack:
        say("starting the store")
        store = start_local_store(folder / "store", bucket=BUCKET)
        stack.callback(store.stop)
        environment = {
            "PATH": os.environ["PATH"],
            **store.environment,
            "DATABASE_URL": f"sqlite:///{folder}/catalog.db",
            "AUTH_MODE": "dev",
            "EDGE_TOKEN": EDGE_TOKEN,
            "LEASE_KEYS": f"bench:{os.urandom(32).hex()}",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
            "RATE_LIMIT_CREATE": "100000/minute",
            "RATE_LIMIT_PART_URLS": "100000000/minute",
            "RATE_LIMIT_PER_ADDRESS": "1000000/minute",
            "WEB_WORKERS": "2",
            "WEB_THREADS": "32",
            "GUNICORN_CMD_ARGS": f"--worker-class {worker_class}",
            **extra,
        }
        upgrade(open_engine(environment["DATABASE_URL"]))

        def start(name: str, **more: str) -> tuple[Server, GatewayClient]:
            say(f"starting {name}")
            (port,) = find_free_ports(1)
            log = folder / f"{name}.log"
            gateway = start_gateway(environment | more, port=port, log=log, cwd=folder)
            stack.callback(gateway.stop, 2)
            return Server(port, gateway.process.pid), GatewayClient(gateway.url, USER)

        bare = start_bare(stack, environment, folder)
        plain, client = start("gateway")
        cdn, _ = start("gateway-cdn", RANGE_CACHE_DIR=str(folder / "cache"), **cloudfront_variables())
        say("uploading the image")
        image_id = upload_file(client, image, parallel=2, on_bytes=lambda _: None).image_id
        uploads = [client.create_image(name=f"disk {number}") for number in range(LISTED)]
        upload = f"/v1/images/{uploads[0].image_id}"
        yield [
            Route(BARE, bare, [get(bare, TARGET)]),
            *routes_without_cdn(plain, f"/v1/images/{image_id}", upload, uploads[0].upload_id),
            Route("stream-url-cdn", cdn, [get(cdn, f"/v1/images/{image_id}/stream-url")]),
            Route("range-warm", cdn, ranges(cdn, f"/v1/images/{image_id}/range")),
        ]


def start_bare(stack: ExitStack, environment: dict[str, str], folder: Path) -> Server:
    """The bare app; its gunicorn reads the same settings."""
    say("starting the bare app")
    (port,) = find_free_ports(1)
    variables = {**environment, "HOST": HOST, "PORT": str(port)}
    config = "python:image_gateway.serving.gunicorn_config"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-m", "gunicorn", "-c", config, "--pythonpath", here, "control_bare:app"]
    process = ManagedProcess("the bare app", command, env=variables, log=folder / "bare.log", cwd=folder)
    stack.callback(process.stop, grace=2)
    process.wait_until(lambda: " workers x " in process.log_tail(), seconds=30)
    return Server(port, process.pid)


def routes_without_cdn(server: Server, image: str, upload: str, upload_id: str) -> list[Route]:
    one = {"uploadId": upload_id, "partNumber": 1}
    many = {"uploadId": upload_id, "partNumbers": list(range(1, PARTS + 1))}
    # Who may read is known from a moment before, and no byte is read: what each small read costs besides.
    unchanged = get(server, f"{image}/range", "If-None-Match: *", status=304)
    permission = get(server, f"{image}/range", f"X-Edge-Token: {EDGE_TOKEN}", length=0)
    return [
        Route("healthz", server, [get(server, "/healthz")]),
        Route("metadata", server, [get(server, f"{image}/metadata")]),
        Route("record", server, [get(server, image)]),
        Route("list-50", server, [get(server, f"/v1/images?limit={LISTED}")]),
        Route("stream-url-lease", server, [get(server, f"{image}/stream-url")]),
        Route("upload-url", server, [post(server, f"{upload}/upload-url", one)]),
        Route(f"upload-urls-{PARTS}", server, [post(server, f"{upload}/upload-urls", many)]),
        Route("authorise", server, [permission]),
        Route("range-304", server, [unchanged]),
        Route("range-cold", server, ranges(server, f"{image}/range")),
    ]


def get(server: Server, target: str, *headers: str, status: int = 200, length: int | None = None) -> Call:
    lines = [f"GET {target} HTTP/1.1", f"Host: {server.host}", f"X-User-Id: {USER}", *headers]
    return Call("\r\n".join([*lines, "", ""]), status, length)


def post(server: Server, target: str, document: object) -> Call:
    body = json.dumps(document)
    lines = [f"POST {target} HTTP/1.1", f"Host: {server.host}", f"X-User-Id: {USER}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return Call("\r\n".join([*lines, "", body]), 200)


def ranges(server: Server, target: str) -> list[Call]:
    """Reads of 64 KiB at random sectors of the image."""
    reads = random_reads(READ, SECTOR)(IMAGE_MIB * MIB, random.Random(1))
    return [read_call(read, f"{server.host}\r\nX-User-Id: {USER}", target, IMAGE_MIB * MIB) for read in reads]


def measure(route: Route, seconds: int, plan: Path) -> Sample:
    """Load a route; a measurement with a wrong answer is thrown away, and after three the program ends."""
    for _ in range(TRIES):
        before = cpu_seconds(route.server.pid)
        load = run_wrk((HOST, route.server.port), route.calls, CONNECTIONS, seconds, step=False, plan=plan)
        used = cpu_seconds(route.server.pid) - before
        if load.requests and not load.errors:
            return Sample(load.requests / load.seconds, used * 1000 / load.requests)
        say(f"{route.name}: {load.errors} wrong answers beside {load.requests} right ones: {load.complaint}")
    raise SystemExit(f"{route.name} cannot be measured")


def table(samples: dict[str, list[Sample]]) -> str:
    """Medians, and the medians of each round's ratio to the bare route."""
    rows = []
    for name, found in samples.items():
        ratios = [sample.cpu_ms / bare.cpu_ms for sample, bare in zip(found, samples[BARE], strict=True)]
        rows.append(
            [
                name,
                f"{statistics.median(sample.requests_per_second for sample in found):.0f}",
                f"{statistics.median(sample.cpu_ms for sample in found):.2f}",
                f"{statistics.median(ratios):.2f}",
            ]
        )
    return render(["route", "requests/s", "CPU ms/request", "ratio to bare"], rows)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of each measurement (3)")
    parser.add_argument("--only", default="", metavar="ROUTE,…", help="these routes, and the bare one")
    parser.add_argument("--worker-class", default="gthread", help="gunicorn's worker class (gthread)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the gateways"
    )
    options = parser.parse_args()
    if min(options.rounds, options.seconds) < 1:
        parser.error("--rounds and --seconds must be at least 1")
    if not all("=" in setting for setting in options.set):
        parser.error("--set must be NAME=VALUE")
    return options


def chosen(routes: list[Route], only: str) -> list[Route]:
    names = {BARE, *only.split(",")} if only else {route.name for route in routes}
    if unknown := names - {route.name for route in routes}:
        known = ", ".join(route.name for route in routes)
        raise SystemExit(f"{', '.join(sorted(unknown))}: must be of {known}")
    return [route for route in routes if route.name in names]


def run(options: argparse.Namespace) -> None:
    extra = dict(setting.split("=", 1) for setting in options.set)
    with (
        tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch,
        running_routes(Path(scratch), extra, options.worker_class) as every,
    ):
        routes = chosen(every, options.only)
        plan = Path(scratch) / "plan.lua"
        say("warming up")
        for route in routes:
            measure(route, 2, plan)
        samples: dict[str, list[Sample]] = {route.name: [] for route in routes}
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            for route in routes:
                samples[route.name].append(measure(route, options.seconds, plan))
    print(f"{CONNECTIONS} connections, medians of {options.rounds} x {options.seconds} s\n")
    print(table(samples))


def main() -> None:
    options = parse_options()
    if find_tool("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    run_until_stopped(lambda: run(options))


if __name__ == "__main__":
    main()
