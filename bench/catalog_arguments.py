"""Arguments of calls of a catalog that `catalog_rows.fill` filled; some are rows made for one call."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from catalog_dialects import IMAGE, START, row_id
from catalog_rows import OWNER, is_complete

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.audit import AuditEntry
from image_gateway.domain.images import (
    ChunkedFacts,
    DiskFacts,
    ImageRecord,
    ImageState,
    Kind,
    Quota,
    SourceFacts,
    UploadPlan,
    Visibility,
)
from image_gateway.domain.jobs import Job, JobKind, new_job
from image_gateway.domain.leases import Holder, HolderKind, Lease, Scope
from image_gateway.domain.sessions import BrowserSession
from image_gateway.domain.shares import Permission, Share, ShareLink

NOW = START + timedelta(days=200)
SOON, WEEK, DAY = NOW + timedelta(hours=1), timedelta(days=7), timedelta(days=1)
# Jobs of this time come first in the queue.
FIRST = START - DAY
OLD_JOBS = START - timedelta(days=50)
LIFETIME = timedelta(minutes=1)
SIZE = 2**30
UPLOAD = "upload"
SHA256 = "ab" * 32
DISK = DiskFacts(SIZE, '"etag"', NOW, "private, no-store, no-transform")
SOURCE = SourceFacts(SIZE, '"source"', NOW)
CHUNKED = ChunkedFacts(2**18, 8, SHA256, 999, '"manifest"', NOW, "no-transform")
QUOTA = Quota(images=10**9, bytes=10**18, bytes_per_image=10**12, open_uploads=10**6)
PAGE = 25


@dataclass(frozen=True)
class Call:
    """One call: `run` is what counts, with what `prepare` made for this turn."""

    name: str
    run: Callable[[Any], object]
    prepare: Callable[[int], Any] = lambda turn: turn
    most_turns: int | None = None


class Arguments:
    """Makes arguments; `turn` numbers the calls, and their images are spread over the whole catalog."""

    def __init__(self, catalog: Catalog, images: int) -> None:
        self.catalog = catalog
        self.images = images

    def number(self, turn: int) -> int:
        number = (turn + 1) * 7919 % self.images
        while not is_complete(number):
            number = (number + 1) % self.images
        return number

    def tenth(self, turn: int) -> int:
        """A number at which every kind of row exists: of shares, links, sessions and jobs."""
        number = self.number(turn) // 100 * 100 + 20
        return number if is_complete(number) else 220

    def image_id(self, turn: int) -> str:
        return row_id(IMAGE, self.number(turn))

    def draft(self, _turn: int, state: ImageState = ImageState.UPLOADING) -> ImageRecord:
        return ImageRecord(
            image_id=str(uuid.uuid4()),
            owner=OWNER,
            base_path="/images",
            version="v",
            name="new disk",
            kind=Kind.DISK,
            visibility=Visibility.PRIVATE,
            state=state,
            plan=UploadPlan(UPLOAD, 5 * 2**20, SIZE, None, NOW + WEEK),
            created_at=NOW,
            updated_at=NOW,
            reserved_bytes=SIZE,
        )

    def open(self, turn: int) -> str:
        record = self.draft(turn)
        self.catalog.add(record, QUOTA)
        return record.image_id

    def completed(self, turn: int) -> str:
        image_id = self.open(turn)
        assert self.catalog.complete(image_id, UPLOAD, DISK, NOW)
        return image_id

    def with_chunk_size(self, turn: int) -> str:
        image_id = self.completed(turn)
        assert self.catalog.claim_chunk_size(image_id, CHUNKED.chunk_size) == CHUNKED.chunk_size
        return image_id

    def deleted(self, turn: int) -> str:
        image_id = self.completed(turn)
        assert self.catalog.delete(image_id, NOW)
        return image_id

    def claimed(self, turn: int) -> Job:
        """A claimed job that makes the disk of an image."""
        record = self.draft(turn, ImageState.PROCESSING)
        job = replace(new_job(record.image_id, JobKind.CONVERT, NOW), run_after=FIRST)
        self.catalog.jobs.add_with_image(record, job, QUOTA)
        claimed = self.catalog.jobs.claim("host:1", NOW, LIFETIME)
        assert claimed is not None
        assert claimed.job_id == job.job_id
        return claimed

    def with_job(self, turn: int) -> tuple[ImageRecord, Job]:
        record = self.draft(turn, ImageState.PROCESSING)
        return record, new_job(record.image_id, JobKind.CONVERT, NOW)

    def lease(self, turn: int) -> Lease:
        number = self.number(turn)
        return Lease(
            lease_id=str(uuid.uuid4()),
            image_id=row_id(IMAGE, number),
            version="v",
            scopes=frozenset({Scope.DISK_READ}),
            holder=Holder(HolderKind.USER, f"reader-{number // 20}"),
            created_at=NOW,
            ttl_seconds=3600,
            expires_at=SOON,
            session_ends_at=SOON + DAY,
        )

    def added_lease(self, turn: int) -> str:
        lease = self.lease(turn)
        self.catalog.leases.add(lease)
        return lease.lease_id

    def session(self, turn: int) -> tuple[str, BrowserSession]:
        return uuid.uuid4().hex * 2, BrowserSession(f"visitor-{turn}", "Visitor", False, NOW, NOW, SOON)

    def added_session(self, turn: int) -> str:
        sha256, session = self.session(turn)
        self.catalog.sessions.add(sha256, session)
        return sha256

    def link(self, turn: int) -> ShareLink:
        return ShareLink(str(uuid.uuid4()), self.image_id(turn), NOW, SOON, 5, label="for a friend")

    def added_link(self, turn: int) -> str:
        link = self.link(turn)
        self.catalog.shares.add_link(link, uuid.uuid4().hex * 2, most=100)
        return link.link_id

    def share(self, turn: int) -> Share:
        return Share(self.image_id(turn), f"guest-{turn}", Permission.READ, NOW)

    def added_share(self, turn: int) -> Share:
        share = self.share(turn)
        self.catalog.shares.share(share, most=100)
        return share

    def writer(self, turn: int) -> str:
        writer_id = str(uuid.uuid4())
        assert self.catalog.writers.add(writer_id, self.image_id(turn), ImageState.COMPLETE, SOON)
        return writer_id

    def entry(self, turn: int) -> AuditEntry:
        return AuditEntry(str(uuid.uuid4()), self.image_id(turn), NOW, "shared", OWNER, {"with": "x"})
