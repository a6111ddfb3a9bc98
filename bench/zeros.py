"""Speed of 64 KiB reads of zeros beside reads of data, which the same gateway reads from the store.

Run `python bench/zeros.py [--seconds 10] [--rounds 3]`. Starts an embedded store and a gateway without block
cache or nginx, uploads and publishes an image whose first half is data and whose second half is zeros, and
reads ranges at random offsets of either half by one client, in turns. The ratio is what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import urllib3
from stopping import run_until_stopped

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.components import open_catalog
from image_gateway.local.stack import running_stack
from image_gateway.protocol.zero_map import BLOCK_SIZE
from image_gateway.services.publishing import Publishing
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore

HALF = 128 * 1024 * 1024
USER = "bench"


def reads_per_second(url: str, first: int, seconds: float, expected: bytes | None) -> float:
    """Reads at random blocks of the half of the image that begins at `first`."""
    count, end = 0, time.perf_counter() + seconds
    with urllib3.PoolManager(retries=False) as http:
        while time.perf_counter() < end:
            start = first + random.randrange(HALF // BLOCK_SIZE) * BLOCK_SIZE
            headers = {"X-User-Id": USER, "Range": f"bytes={start}-{start + BLOCK_SIZE - 1}"}
            answer = http.request("GET", url, headers=headers)
            if answer.status != 206 or len(answer.data) != BLOCK_SIZE:
                raise SystemExit(f"a read failed: status {answer.status}, {len(answer.data)} bytes")
            if expected is not None and answer.data != expected:
                raise SystemExit("a read of zeros had other bytes")
            count += 1
    return count / seconds


def measure(seconds: float, rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        folder = Path(scratch)
        sample = folder / "sample.img"
        with sample.open("wb") as target:
            target.write(random.Random(1).randbytes(HALF))
            target.truncate(2 * HALF)
        with running_stack(
            folder,
            {"PATH": os.environ["PATH"]},
            gateway_port=None,
            on_step=lambda _: None,
            say=lambda _: None,
            cwd=folder,
            with_worker=False,
        ) as stack:
            client = GatewayClient(stack.gateway.url, USER)
            upload = upload_file(client, sample, parallel=2, on_bytes=lambda _: None)
            store = ObjectStore(StoreClients(stack.store))
            publishing = Publishing(open_catalog(stack.settings), store, stack.settings.cache_control)
            publishing.publish(upload.image_id)
            url = f"{stack.gateway.url}/v1/images/{upload.image_id}/range"
            # Past the time for which the workers remember the record of before, and the map is loaded.
            time.sleep(stack.settings.access_cache_seconds + 0.5)
            reads_per_second(url, HALF, 1, bytes(BLOCK_SIZE))
            data, zeros = [], []
            for _ in range(rounds):
                data.append(reads_per_second(url, 0, seconds, None))
                zeros.append(reads_per_second(url, HALF, seconds, bytes(BLOCK_SIZE)))
    ratios = [zero / other for zero, other in zip(zeros, data, strict=True)]
    return {
        "data_reads_per_second": [round(number) for number in data],
        "zero_reads_per_second": [round(number) for number in zeros],
        "ratio": round(median(ratios), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(measure(options.seconds, options.rounds), indent=2))


run_until_stopped(main)
