"""Bytes written to the store for each byte that a guest commits to a delta: write amplification.

Run `python bench/delta_amplification.py [--live-mib 32] [--times 10]`. Fills a delta, and overwrites random
blocks of 4 KiB in commits of 256, so many times its size; once without and once with compaction, which runs
whenever a checkpoint queues it. Counts every PUT: segments, their headers, checkpoints, and compacted
segments. Store and catalog are in memory and in a temporary file: times say nothing, bytes do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import (
    DiskFacts,
    ImageFormat,
    ImageRecord,
    ImageState,
    Kind,
    Quota,
    UploadPlan,
    Visibility,
)
from image_gateway.domain.jobs import JobKind
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.protocol.deltas.segment import Extent, encode_segment
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.delta_services import DeltaServices, make_delta_services
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.jobs.compacting import Compacting
from image_gateway.services.jobs.worker import Worker
from image_gateway.services.leases import LeaseRequest, LeaseRules, Leases
from image_gateway.services.reading.access import Access
from image_gateway.storage.listings import ListedObject
from image_gateway.storage.object_reads import ObjectInfo, OpenObject, Pin
from image_gateway.storage.objects import ObjectStore

BLOCK, COMMIT_BLOCKS, MIB = 4096, 256, 1024 * 1024
OWNER = Caller("bench")
NOW = datetime.now(UTC).replace(microsecond=0)


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_all(self) -> bytes:
        return self._data

    def close(self) -> None:
        """Nothing is open."""


class CountingStore:
    """Objects in memory; `written` counts the bytes of all PUTs."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written = 0

    def put(
        self, key: str, data: bytes, *, content_type: str, cache_control: str, sha256: str | None = None
    ) -> str:
        self.objects[key] = data
        self.written += len(data)
        return self._info(key).etag

    def open(self, key: str, *, byte_range: Any = None, pin: Pin | None = None) -> OpenObject:
        data = self.objects[key]
        part = data[byte_range.start : byte_range.stop] if byte_range else data
        return OpenObject(self._info(key), cast(Any, _Body(part)))

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        for key, data in self.objects.items():
            if key.startswith(prefix):
                yield ListedObject(key, len(data), self._info(key).etag, NOW)

    def _info(self, key: str) -> ObjectInfo:
        data = self.objects[key]
        etag = hashlib.md5(data[:64], usedforsecurity=False).hexdigest()
        return ObjectInfo(len(data), f'"{etag}"', NOW, None)


def make_services(catalog: Catalog, store: ObjectStore) -> DeltaServices:
    access = Access(catalog, catalog.shares, hide_foreign=True, remember=0, clock=time.time)
    trail = AuditTrail(catalog.audit_entries, time.time)
    rules = LeaseRules(ttl=3600, max_ttl=3600, session=36_000, grace=60)
    tokens = LeaseTokens([LeaseKey("bench", "s" * 64)])
    leases = Leases(catalog.leases, access, tokens, rules, trail, time.time)
    return make_delta_services(catalog, store, access, leases, trail, Quota(), time.time, hide_foreign=True)


def add_image(catalog: Catalog, size: int) -> str:
    image_id = "00000000-0000-4000-8000-000000000001"
    plan = UploadPlan("upload", 5 * MIB, size, None, NOW)
    record = ImageRecord(
        image_id=image_id,
        owner="bench",
        base_path="/images",
        version="0" * 16,
        name="disk.img",
        kind=Kind.DISK,
        visibility=Visibility.PRIVATE,
        state=ImageState.UPLOADING,
        plan=plan,
        created_at=NOW,
        updated_at=NOW,
        format=ImageFormat.RAW,
    )
    catalog.add(record, Quota())
    catalog.complete(image_id, "upload", DiskFacts(size, '"base"', NOW, None), NOW)
    return image_id


def measure(folder: Path, live: int, times: int, *, compacting: bool) -> dict[str, object]:
    """Return bytes committed and written, and their ratio, for the overwrites after the first fill."""
    engine = open_engine(f"sqlite:///{folder / f'catalog-{compacting}.db'}")
    upgrade(engine)
    catalog, store = Catalog(engine), CountingStore()
    objects = cast(ObjectStore, store)
    services = make_services(catalog, objects)
    image_id = add_image(catalog, live)
    delta = services.deltas.create(image_id, OWNER, block_size=BLOCK, name=None)
    session = services.deltas.open_session(delta.delta_id, OWNER, LeaseRequest(WRITING))
    writer = Caller(lease=session.issued.lease)
    worker = Worker(catalog.jobs, {JobKind.COMPACT: Compacting(catalog, objects, time.time).run})
    chance, blocks, generation = random.Random(1), live // BLOCK, 0

    def commit(numbers: list[int]) -> None:
        nonlocal generation
        extents = [Extent(number, 1, chance.randbytes(BLOCK)) for number in numbers]
        body = encode_segment(BLOCK, extents)
        request = CommitRequest(generation, f"{generation}", body, hashlib.sha256(body).hexdigest())
        generation = services.commits.commit(delta.delta_id, writer, request).generation
        while compacting and worker.run_one():
            pass

    for start in range(0, blocks, COMMIT_BLOCKS):
        commit(list(range(start, min(start + COMMIT_BLOCKS, blocks))))
    before, commits = store.written, times * blocks // COMMIT_BLOCKS
    for _ in range(commits):
        commit(sorted(chance.sample(range(blocks), COMMIT_BLOCKS)))
    row = catalog.deltas.find(delta.delta_id)
    committed = commits * COMMIT_BLOCKS * BLOCK
    return {
        "compaction": compacting,
        "liveBytes": live,
        "committedBytes": committed,
        "writtenBytes": store.written - before,
        "amplification": round((store.written - before) / committed, 3),
        "jobs": len(catalog.jobs.list(image_id, limit=1000)),
        "neededBytes": sum(_needed(catalog, services, image_id, delta.delta_id)),
        "storedBytes": row.stored_bytes if row is not None else 0,
    }


def _needed(catalog: Catalog, services: DeltaServices, image_id: str, delta_id: str) -> Iterator[int]:
    """Yield the sizes of the segments that the newest map needs: what is stored after an hour of rest."""
    row, record = catalog.deltas.find(delta_id), catalog.find(image_id)
    if row is not None and record is not None:
        for segment in services.maps.newest(row, record).needed_segments():
            yield segment.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live-mib", type=int, default=32)
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-gateway-bench-") as scratch:
        for compacting in (False, True):
            result = measure(Path(scratch), options.live_mib * MIB, options.times, compacting=compacting)
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
