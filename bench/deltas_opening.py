"""Cost of opening a delta with many commits, and one with much data over a large base.

Starts an embedded store, and commits by the gateway's services in this process, with a catalog in SQLite:
- a delta of many commits of one block each: how many objects are opened until its map is there;
- a delta over a base of 100 GB, with random blocks of 4 KiB: time and memory until its map is there,
  beside one read of 64 KiB from the store, which is what opening the base alone takes.
Each is opened by services without anything in memory. The base has no bytes: no map asks for them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from delta_stack import BLOCK, BUCKET, KIB, MIB, random_segment
from stopping import run_until_stopped
from streaming_report import render

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import COMMITS_PER_CHECKPOINT, Delta
from image_gateway.domain.images import (
    DiskFacts,
    ImageRecord,
    ImageState,
    Kind,
    Quota,
    UploadPlan,
    Visibility,
)
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.local.seaweed import start_local_store
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.delta_services import DeltaServices, make_delta_services
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.leases import LeaseRequest, LeaseRules, Leases
from image_gateway.services.reading.access import Access
from image_gateway.storage.client import StoreClients
from image_gateway.storage.objects import ObjectStore

OWNER = Caller("bench")
BASE_BYTES = 100 * 10**9
# As many single blocks as a commit of 8 MiB holds.
LARGEST_COMMIT = 2000


class Place:
    """A catalog and a store, and services over them."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        engine = open_engine(f"sqlite:///{folder}/catalog.db")
        upgrade(engine)
        self.catalog, self.store = Catalog(engine), store
        self.record = add_image(self.catalog)

    def services(self) -> DeltaServices:
        """Return services with nothing in memory."""
        access = Access(self.catalog, self.catalog.shares, hide_foreign=True, remember=0, clock=time.time)
        trail = AuditTrail(self.catalog.audit_entries, time.time)
        rules = LeaseRules(ttl=36_000, max_ttl=36_000, session=360_000, grace=60)
        tokens = LeaseTokens([LeaseKey("bench", "0" * 64)])
        leases = Leases(self.catalog.leases, access, tokens, rules, trail, time.time)
        return make_delta_services(
            self.catalog, self.store, access, leases, trail, Quota(), time.time, hide_foreign=True
        )

    def write(self, segments: Sequence[bytes]) -> Delta:
        """Return a new delta after a commit of each of the segments."""
        services = self.services()
        delta = services.deltas.create(self.record.image_id, OWNER, block_size=BLOCK, name="bench")
        session = services.deltas.open_session(delta.delta_id, OWNER, LeaseRequest(WRITING))
        writer = Caller(lease=session.issued.lease)
        for generation, segment in enumerate(segments):
            sha256 = hashlib.sha256(segment).hexdigest()
            request = CommitRequest(generation, uuid.uuid4().hex, segment, sha256)
            services.commits.commit(delta.delta_id, writer, request)
        found = self.catalog.deltas.find(delta.delta_id)
        assert found is not None
        return found


def add_image(catalog: Catalog) -> ImageRecord:
    """Add a complete image of 100 GB to the catalog."""
    now = now_of(time.time)
    record = ImageRecord(
        image_id=str(uuid.uuid4()),
        owner=OWNER.user or "",
        base_path="/images",
        version="v",
        name="base",
        kind=Kind.DISK,
        visibility=Visibility.PRIVATE,
        state=ImageState.UPLOADING,
        plan=UploadPlan("upload", 5 * MIB, None, None, now),
        created_at=now,
        updated_at=now,
    )
    catalog.add(record, Quota())
    assert catalog.complete(record.image_id, "upload", DiskFacts(BASE_BYTES, '"etag"', now, "no-store"), now)
    return record


def count_opened(place: Place, delta: Delta) -> tuple[int, float]:
    """Open a delta by new services; return how many objects that opened, and the seconds."""
    opened, open_object = list[str](), place.store.open

    def note(key: str, **options: object) -> object:
        opened.append(key)
        return open_object(key, **options)  # type: ignore[arg-type]

    place.store.open = note  # type: ignore[assignment,method-assign]
    try:
        began = time.perf_counter()
        place.services().maps.newest(delta, place.record)
        return len(opened), time.perf_counter() - began
    finally:
        del place.store.open  # type: ignore[method-assign]


def measure_many(place: Place, commits: int) -> list[list[str]]:
    dice = random.Random(6)
    delta = place.write([random_segment(dice, BASE_BYTES // BLOCK, 1) for _ in range(commits)])
    opened, seconds = count_opened(place, delta)
    return [
        [f"delta of {commits:,} commits: objects opened, at most {1 + COMMITS_PER_CHECKPOINT}", str(opened)],
        ["the same: milliseconds", f"{seconds * 1000:.0f}"],
    ]


def measure_large(place: Place, mebibytes: int, rounds: int) -> list[list[str]]:
    dice, left, segments = random.Random(7), mebibytes * MIB // BLOCK, []
    while left:
        segments.append(random_segment(dice, BASE_BYTES // BLOCK, min(left, LARGEST_COMMIT)))
        left -= min(left, LARGEST_COMMIT)
    delta = place.write(segments)
    place.store.put("base", bytes(MIB), content_type="application/octet-stream", cache_control="no-store")
    openings, reads = [], []
    for _ in range(rounds):
        openings.append(count_opened(place, delta)[1])
        began = time.perf_counter()
        place.store.open("base", byte_range=ByteRange(0, 64 * KIB)).body.read_all()
        reads.append(time.perf_counter() - began)
    tracemalloc.start()
    found = place.services().maps.newest(delta, place.record)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    what = f"{mebibytes} MiB written over 100 GB"
    return [
        [f"{what}: milliseconds to open", f"{median(openings) * 1000:.1f}"],
        ["a read of 64 KiB beside it", f"{median(reads) * 1000:.1f}"],
        [f"{what}: ratio of base and delta to the base alone", f"{1 + median(openings) / median(reads):.1f}"],
        [f"{what}: MiB of its map in memory, and at most", f"{kept / MIB:.1f}, {peak / MIB:.1f}"],
        [f"{what}: runs", f"{len(found.runs) + len(found.recent):,}"],
    ]


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commits", type=int, default=10_000, help="commits of the first delta (10000)")
    parser.add_argument("--written-mib", type=int, default=1024, help="data of the second delta (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="how often the second is opened (5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if min(options.commits, options.written_mib, options.rounds) < 1:
        parser.error("--commits, --written-mib and --rounds must be at least 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as name:
        local = start_local_store(Path(name) / "store", bucket=BUCKET)
        try:
            place = Place(Path(name), ObjectStore(StoreClients(local.address)))
            rows = measure_many(place, options.commits)
            rows += measure_large(place, options.written_mib, options.rounds)
        finally:
            local.stop()
    print(json.dumps(dict(rows), indent=2) if options.json else render(["", "number"], rows))


if __name__ == "__main__":
    run_until_stopped(main)
