"""A catalog and a store with a base image of 100 GB, and deltas that services in this process write."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from delta_stack import BLOCK, MIB, USER

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import Delta
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
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.delta_services import DeltaServices, make_delta_services
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.leases import LeaseRequest, LeaseRules, Leases
from image_gateway.services.reading.access import Access
from image_gateway.storage.objects import ObjectStore

OWNER = Caller(USER)
BASE_BYTES = 100 * 10**9
# What the store really has of the base: a number that is in no other answer.
STORED_BYTES = 64 * MIB + 4099


class Place:
    """A catalog and a store, and services over them."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.database = f"sqlite:///{folder}/catalog.db"
        engine = open_engine(self.database)
        upgrade(engine)
        self.catalog, self.store = Catalog(engine), store
        self.record = self._add_image()

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

    def write(self, segments: Iterable[bytes]) -> Delta:
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

    def _add_image(self) -> ImageRecord:
        now = now_of(time.time)
        record = ImageRecord(
            image_id=str(uuid.uuid4()),
            owner=USER,
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
        self.catalog.add(record, Quota())
        key, octets = record.location.disk_key, "application/octet-stream"
        etag = self.store.put(key, bytes(STORED_BYTES), content_type=octets, cache_control="no-store")
        disk = DiskFacts(BASE_BYTES, etag, self.store.head(key).last_modified, "no-store")
        assert self.catalog.complete(record.image_id, "upload", disk, now)
        return record


def with_base_size(answer: bytes) -> bytes:
    """Return a part of an answer of the store, which claims that the base has all its bytes."""
    for before in (b"/%d\r\n", b"Content-Length: %d\r\n"):
        answer = answer.replace(before % STORED_BYTES, before % BASE_BYTES)
    return answer
