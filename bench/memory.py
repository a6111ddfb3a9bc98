"""Peak memory of a gateway under parallel whole-image reads, against the same gateway idle.

Run `python bench/memory.py [--size-mib 2048] [--readers 16]`. Starts an embedded store and a gateway of two
workers, uploads a sparse sample, reads it whole by all readers at once, and samples the summed PSS
(/proc/PID/smaps_rollup: shared pages counted once) of all gateway processes ten times a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.stack import running_stack

MIB = 1024 * 1024
USER = "bench"


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory_of(pid: int) -> int:
    """Proportional set size in bytes of a process and its children."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return own + sum(memory_of(child) for child in children_of(pid))


class Sampler:
    """Remembers the highest memory seen until it is stopped."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, memory_of(self.pid))


def read_whole(url: str) -> str:
    digest = hashlib.sha256()
    with urllib3.PoolManager(retries=False) as http:
        answer = http.request("GET", url, headers={"X-User-Id": USER}, preload_content=False)
        for block in answer.stream(MIB):
            digest.update(block)
    return digest.hexdigest()


def sample_image(path: Path, size: int) -> str:
    """A file of repeating, distinct MiBs, and its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as target:
        for number in range(size // MIB):
            block = hashlib.sha256(str(number).encode()).digest() * (MIB // 32)
            target.write(block)
            digest.update(block)
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=2048)
    parser.add_argument("--readers", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        folder = Path(scratch)
        expected = sample_image(folder / "sample.img", options.size_mib * MIB)
        with running_stack(
            folder,
            {"PATH": os.environ["PATH"]},
            gateway_port=None,
            on_step=lambda _: None,
            say=print,
            cwd=folder,
        ) as stack:
            client = GatewayClient(stack.gateway.url, USER)
            upload = upload_file(client, folder / "sample.img", parallel=2, on_bytes=lambda _: None)
            url = f"{stack.gateway.url}/v1/images/{upload.image_id}/range"
            for _ in range(32):
                client.read_range(upload.image_id, 0, 1)
            pid = stack.gateway.process.pid
            idle = memory_of(pid)
            with Sampler(pid) as sampler, ThreadPoolExecutor(options.readers) as pool:
                hashes = set(pool.map(read_whole, [url] * options.readers))
            result = {
                "readers": options.readers,
                "image_mib": options.size_mib,
                "idle_mib": round(idle / MIB, 1),
                "peak_mib": round(sampler.peak / MIB, 1),
                "above_idle_mib": round((sampler.peak - idle) / MIB, 1),
                "bytes_equal": hashes == {expected},
            }
    print(json.dumps(result, indent=2))


main()
