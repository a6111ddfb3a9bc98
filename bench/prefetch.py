"""Time of a boot-like replay of reads over a slow store, with and without reading ahead of a boot trace.

Run `python bench/prefetch.py [--latency-ms 40] [--think-ms 2] [--reads 600] [--rounds 3]`. Starts an embedded
store, a proxy that adds latency, and for each run a gateway of two workers with an empty block cache. One
connection reads small ranges, one after the other, in the order of a boot: short sequential runs all over the
image, with a pause after each read, in which a guest would run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from delayed_store import delayed_store
from stopping import run_until_stopped

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import start_local_store
from image_gateway.protocol.boot_trace import BLOCK_SIZE, trace_reads

MIB, KIB, USER = 1024 * 1024, 1024, "bench"


@dataclass(frozen=True)
class Boot:
    """Byte ranges [start, stop) in the order of a boot, and the seconds between them."""

    reads: list[tuple[int, int]]
    think: float

    def replay(self, url: str) -> tuple[float, str]:
        """Read everything; return the seconds to the last byte, and the SHA-256 of all of it."""
        digest = hashlib.sha256()
        with urllib3.PoolManager(retries=False, timeout=60) as http:
            # Connection, permission and trace are there before the time counts.
            http.request("GET", url, headers={"Range": "bytes=-1"})
            time.sleep(0.5)
            began = time.perf_counter()
            for start, stop in self.reads:
                answer = http.request("GET", url, headers={"Range": f"bytes={start}-{stop - 1}"})
                if answer.status != 206 or len(answer.data) != stop - start:
                    raise SystemExit(f"a read was answered {answer.status}")
                digest.update(answer.data)
                time.sleep(self.think)
            return time.perf_counter() - began, digest.hexdigest()


def make_boot(size: int, count: int, think: float) -> Boot:
    """Runs of one to sixteen reads of 4 to 128 KiB at random places of the image."""
    dice, reads = random.Random(5), list[tuple[int, int]]()
    while len(reads) < count:
        start = dice.randrange(size // (4 * KIB) - 4096) * 4 * KIB
        for _ in range(dice.randint(1, 16)):
            stop = start + dice.choice([4, 16, 64, 128]) * KIB
            reads.append((start, stop))
            start = stop
    return Boot(reads[:count], think)


def write_image(path: Path, size: int) -> None:
    dice = random.Random(1)
    with path.open("wb") as target:
        for _ in range(size // MIB):
            target.write(dice.randbytes(MIB))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    with ExitStack() as stack:
        store = start_local_store(folder / "store", bucket="images")
        stack.callback(store.stop)
        place = urlsplit(store.address.endpoint or "")
        slow = stack.enter_context(
            delayed_store((place.hostname or "", place.port or 0), options.latency_ms / 1000)
        )
        database = f"sqlite:///{folder}/catalog.db"
        environment = {"PATH": os.environ["PATH"], **store.environment, "DATABASE_URL": database}
        engine = open_engine(database)
        stack.callback(engine.dispose)
        upgrade(engine)
        catalog = Catalog(engine)
        size = options.size_mib * MIB
        boot = make_boot(size, options.reads, options.think_ms / 1000)
        write_image(folder / "disk.img", size)
        image_id = _upload(folder, environment)
        record = catalog.find(image_id)
        assert record is not None
        trace = trace_reads(boot.reads)
        assert catalog.boot_traces.replace(image_id, record.version, trace, datetime.now(UTC))

        def run(name: str, **changes: str) -> float:
            log = folder / f"{name}.log"
            variables = {
                **environment,
                "S3_ENDPOINT": slow,
                "RANGE_CACHE_DIR": str(folder / name),
                "RANGE_CACHE_BLOCK_BYTES": str(options.block_kib * KIB),
                **changes,
            }
            gateway = start_gateway(variables, port=find_free_ports(1)[0], log=log, cwd=folder)
            try:
                url = GatewayClient(gateway.url, USER).stream_url(image_id)["url"]
                seconds, digest = boot.replay(str(url))
            finally:
                gateway.stop(2)
            digests.add(digest)
            print(f"{name}: {seconds:.2f} s", file=sys.stderr)
            return seconds

        digests: set[str] = set()
        without, ahead = [], []
        for number in range(options.rounds):
            without.append(run(f"without-{number}", READ_AHEAD_BYTES="0"))
            ahead.append(run(f"ahead-{number}"))
    return {
        "latency_ms": options.latency_ms,
        "reads": len(boot.reads),
        "trace_blocks": trace.block_count,
        "trace_mib": round(trace.block_count * BLOCK_SIZE / MIB, 1),
        "cache_blocks": len(trace.blocks(options.block_kib * KIB, size)),
        "seconds_without": round(statistics.median(without), 2),
        "seconds_ahead": round(statistics.median(ahead), 2),
        "ratio": round(statistics.median(ahead) / statistics.median(without), 2),
        "bytes_equal": len(digests) == 1,
    }


def _upload(folder: Path, environment: dict[str, str]) -> str:
    """Upload the image past the proxy."""
    gateway = start_gateway(environment, port=find_free_ports(1)[0], log=folder / "upload.log", cwd=folder)
    try:
        client = GatewayClient(gateway.url, USER)
        return upload_file(client, folder / "disk.img", parallel=2, on_bytes=lambda _: None).image_id
    finally:
        gateway.stop(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=40)
    parser.add_argument("--think-ms", type=float, default=2)
    parser.add_argument("--reads", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=256)
    parser.add_argument("--block-kib", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        print(json.dumps(measure(Path(scratch), options), indent=2))


run_until_stopped(main)
