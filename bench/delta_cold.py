"""Opens deltas over a base of 100 GB, and the base, by gateways that have just started, and reads them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import urllib3
from delayed_store import delayed_store
from delta_place import BASE_BYTES, STORED_BYTES, Place, with_base_size
from delta_stack import BLOCK, BUCKET, KIB, MIB, USER, segment_at
from streaming_usage import PeakMemory, memory_of

from image_gateway.client.api import GatewayClient
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import start_local_store
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore

READ_BYTES = 64 * KIB
MAX_READS = 16_384


@dataclass(frozen=True)
class Pattern:
    """How a delta is written: runs of so many blocks, so many runs in a commit."""

    what: str
    blocks: int
    runs: int

    @property
    def size(self) -> int:
        """The bytes of a run."""
        return self.blocks * BLOCK


PATTERNS = (
    Pattern("runs of 64 KiB", 16, 64),
    # As many single blocks as a commit of 8 MiB holds.
    Pattern("blocks of 4 KiB", 1, 2000),
)


@dataclass(frozen=True)
class ColdStack:
    """The catalog and the store, and the environment of gateways for them."""

    place: Place
    folder: Path
    environment: dict[str, str]

    @contextmanager
    def new_gateway(self) -> Iterator[LocalGateway]:
        """Start a gateway, which stops on leaving."""
        (port,) = find_free_ports(1)
        log = self.folder / "gateway.log"
        gateway = start_gateway(self.environment, port=port, log=log, cwd=self.folder)
        try:
            yield gateway
        finally:
            gateway.stop(2)

    def lease_paths(self, *wanted: dict[str, str]) -> Sequence[str]:
        """Return the paths of disks below new leases."""
        with self.new_gateway() as gateway:
            client, scopes = GatewayClient(gateway.url, USER), {"scopes": ["disk:read"]}
            made = [
                client.send_json("POST", "/v1/leases", {**scopes, **what}, expected=(200, 201))
                for what in wanted
            ]
        return [urlsplit(str(lease["url"])).path for lease in made]


@contextmanager
def running_cold_stack(folder: Path) -> Iterator[ColdStack]:
    """Start a store and its proxy, which stop on leaving."""
    local = start_local_store(folder / "store", bucket=BUCKET)
    url = urlsplit(local.environment["S3_ENDPOINT"])
    try:
        place = Place(folder, ObjectStore(StoreClients(local.address)))
        with delayed_store((url.hostname or "", url.port or 80), 0, with_base_size) as proxy:
            environment = {
                "PATH": os.environ["PATH"],
                **local.environment,
                "S3_ENDPOINT": proxy,
                "DATABASE_URL": place.database,
                "AUTH_MODE": "dev",
                "LEASE_KEYS": f"bench:{os.urandom(32).hex()}",
                "RATE_LIMIT_CREATE": "100000/minute",
                "RATE_LIMIT_PER_ADDRESS": "1000000/minute",
                "WEB_WORKERS": "1",
            }
            yield ColdStack(place, folder, environment)
    finally:
        local.stop()


def measure_opening(stack: ColdStack, pattern: Pattern, mebibytes: int, rounds: int) -> list[list[str]]:
    """Open a delta and its base in turns, each by a gateway of its own; then read all that was written."""
    dice = random.Random(7)
    places = dice.sample(range(BASE_BYTES // pattern.size), mebibytes * MIB // pattern.size)
    delta = stack.place.write(segments(dice, [place * pattern.blocks for place in places], pattern))
    paths = stack.lease_paths({"deltaId": delta.delta_id}, {"imageId": delta.image_id})
    seconds: dict[str, list[float]] = {path: [] for path in paths}
    growth: dict[str, list[float]] = {path: [] for path in paths}
    for turn in range(rounds):
        for path in paths if turn % 2 else paths[::-1]:
            with stack.new_gateway() as gateway:
                before = memory_of(gateway.process.pid)[0]
                seconds[path].append(open_disk(f"{gateway.url}{path}"))
                growth[path].append(memory_of(gateway.process.pid)[0] / before)
    mine, base = (median(seconds[path]) for path in paths)
    what = f"{mebibytes} MiB in {pattern.what} over 100 GB"
    return [
        [f"{what}: milliseconds until a cold gateway has answered HEAD and 64 KiB", f"{mine * 1000:.1f}"],
        [f"{what}: the same of the base alone, in turns", f"{base * 1000:.1f}"],
        [f"{what}: ratio", f"{mine / base:.2f}"],
        [f"{what}: memory with it open, to that before", f"{median(growth[paths[0]]):.2f}"],
        [f"{what}: the same of the base alone", f"{median(growth[paths[1]]):.2f}"],
        [
            f"{what}: most memory in {min(len(places), MAX_READS):,} reads of them, to that with it open",
            f"{grow_by_reads(stack, paths[0], pattern.size, places[:MAX_READS]):.2f}",
        ],
    ]


def segments(dice: random.Random, blocks: Sequence[int], pattern: Pattern) -> Iterator[bytes]:
    """Yield the segments that write runs from these blocks on, in their order."""
    for first in range(0, len(blocks), pattern.runs):
        yield segment_at(dice, blocks[first : first + pattern.runs], pattern.blocks)


def open_disk(url: str) -> float:
    """Return the seconds of a HEAD and a read near the start of the disk, over one connection."""
    start = STORED_BYTES // 2
    with urllib3.PoolManager(retries=False) as pool:
        began = time.perf_counter()
        head = pool.request("HEAD", url)
        if head.status != 200 or head.headers["Content-Length"] != str(BASE_BYTES):
            raise SystemExit(f"a HEAD was answered {head.status}")
        read_range(pool, url, start, READ_BYTES)
        return time.perf_counter() - began


def grow_by_reads(stack: ColdStack, path: str, size: int, places: Sequence[int]) -> float:
    """Read runs of `size` bytes by their numbers; return the peak of the gateway's memory to that before."""
    with stack.new_gateway() as gateway, urllib3.PoolManager(retries=False) as pool:
        url, pid = f"{gateway.url}{path}", gateway.process.pid
        open_disk(url)
        before = memory_of(pid)[0]
        with PeakMemory(pid) as peak:
            for place in places:
                read_range(pool, url, place * size, size)
        return peak.rss / before


def read_range(pool: urllib3.PoolManager, url: str, start: int, size: int) -> None:
    answer = pool.request("GET", url, headers={"Range": f"bytes={start}-{start + size - 1}"})
    if answer.status != 206 or len(answer.data) != size:
        raise SystemExit(f"a read was answered {answer.status} with {len(answer.data)} bytes")
