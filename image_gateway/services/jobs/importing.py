"""Runs `import` jobs: fetches a URL into the store, and queues the conversion of what is not raw."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import DiskFacts, ImageFormat, ImageRecord, ImageState, SourceFacts
from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.errors import BadRequest, ObjectChanged, ObjectMissing, StoreUnavailable
from image_gateway.fetching.decompression import decompress, is_compressed
from image_gateway.fetching.remote_file import RemoteFile, open_remote
from image_gateway.fetching.url_rules import FetchRules
from image_gateway.protocol.parts import MAX_PARTS, MIB
from image_gateway.services.jobs.disk_writing import DiskRules
from image_gateway.services.jobs.job_run import ClaimLost, JobRun, processed_image
from image_gateway.services.jobs.object_upload import ObjectUpload, UploadTarget
from image_gateway.services.purging import Purger, Writer
from image_gateway.storage.body import BodyBroken
from image_gateway.storage.object_reads import ObjectInfo, Pin
from image_gateway.storage.objects import ObjectStore

# Parts that are being sent while the next one is fetched.
PARTS_SENT_AT_ONCE = 2
# The size of a compressed file is known at its end only.
PART_SIZE_OF_UNKNOWN = 32 * MIB


class _Sent(NamedTuple):
    """The size of all parts of an object, and the SHA-256 of the file if all of it passed here."""

    size: int | None
    sha256: str | None


class Importing:
    """Fetches files. A run that was interrupted continues after the last part that the store has.

    It begins again when the file at the URL is another version by then, and what is compressed is fetched
    from its beginning: only the parts are not sent again.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        rules: DiskRules,
        fetch_rules: FetchRules,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._rules = rules
        self._fetch_rules = fetch_rules
        self._clock = clock
        self._purger = Purger(catalog, store, clock)

    def run(self, run: JobRun) -> bool:
        """Import, and make the image complete or queue its conversion. False when the claim was lost."""
        with processed_image(self._catalog, self._purger, run.job) as (record, writer):
            finished = self._find_finished(record, run)
            info = finished or self._fetch(record, run, writer)
            now = now_of(self._clock)
            if finished is not None or record.format is ImageFormat.RAW:
                disk = DiskFacts(info.size, info.etag, info.last_modified, info.cache_control)
                if record.format is not ImageFormat.RAW and not self._rules.keep_sources:
                    # It was converted already. The record does not name it, so nothing else deletes it.
                    self._store.delete(record.location.source_key)
                return self._catalog.jobs.finish_disk(run.job, record.plan.upload_id, disk, now)
            source = SourceFacts(info.size, info.etag, info.last_modified)
            following = new_job(record.image_id, JobKind.CONVERT, now)
            return self._catalog.jobs.finish_source(run.job, source, following, now)

    def _find_finished(self, record: ImageRecord, run: JobRun) -> ObjectInfo | None:
        """Return the disk if it is whole already.

        The catalog does not know of it after it was restored from a backup. Quotas do not matter: the bytes
        are stored already, and a job that fails deletes them.
        """
        disk, declared = self._store.find(record.location.disk_key), run.job.params.get("sha256")
        if disk is None:
            return None
        if record.format is ImageFormat.RAW and declared:
            # The hash of a compressed file is compared before its parts are joined.
            checked = is_compressed(unquote(urlsplit(run.job.params["url"]).path))
            if not checked and self._hash(record, disk, run) != declared:
                return None
        return disk

    def _fetch(self, record: ImageRecord, run: JobRun, writer: Writer) -> ObjectInfo:
        with open_remote(run.job.params["url"], self._fetch_rules) as remote:
            size = None if is_compressed(remote.name) else remote.size
            if size is not None:
                self._count(record, size)
            location = record.location
            target = UploadTarget(
                record.upload_key, f"{location.work_prefix}zero-part", self._rules.cache_control
            )
            part_size = PART_SIZE_OF_UNKNOWN if size is None else None
            upload = ObjectUpload(self._store, target, run, size, part_size, remote.validator)
            sent = _Sent(None, None)
            if upload.finished is None:
                sent = self._send(record, run, writer, remote, upload, size)
                # Before the parts are joined: the object of a compressed file has another hash.
                _check_hash(run, sent.sha256)
        info = upload.complete(sent.size)
        self._count(record, info.size)
        if sent.sha256 is None and not is_compressed(remote.name) and run.job.params.get("sha256"):
            _check_hash(run, self._hash(record, info, run))
        return info

    def _send(
        self,
        record: ImageRecord,
        run: JobRun,
        writer: Writer,
        remote: RemoteFile,
        upload: ObjectUpload,
        size: int | None,
    ) -> _Sent:
        """Fetch and send what is missing."""
        kept = _kept_parts(upload)
        offset = done = kept * upload.part_size
        run.start(size, offset, is_kept=remote.validator is not None)
        digest = hashlib.sha256()
        whole = size is None or kept == 0
        fetched = _hashed(remote.read_from(0 if size is None else offset), digest.update, run.check)
        blocks = decompress(remote.name, fetched, self._limit_of(record, upload, size))
        parts = _parts(_skip(blocks, offset if size is None else 0), upload.part_size)
        # Closed before the writer ends, so that parts in progress are waited for.
        with closing(_sent(parts, upload, kept)) as lengths:
            for length in lengths:
                if not writer.may_go_on():
                    raise ClaimLost
                run.advance(length)
                done += length
                if size is None:
                    # Otherwise several imports at once could each take what is left of the quota.
                    self._count(record, done)
        if done == 0:
            raise BadRequest("the file at the URL is empty")
        return _Sent(done, digest.hexdigest() if whole else None)

    def _limit_of(self, record: ImageRecord, upload: ObjectUpload, size: int | None) -> int:
        """Return the most bytes that the image may have, by the store's limits and the owner's quota."""
        quota = self._rules.quota
        limits = [self._rules.max_size, MAX_PARTS * upload.part_size]
        if size is not None:
            # The quota has room for it: it is counted already.
            return min(limits)
        if quota.bytes_per_image is not None:
            limits.append(quota.bytes_per_image)
        if quota.bytes is not None:
            # Not that of the run's beginning: usage and record are to be of the same moment.
            current = self._catalog.find(record.image_id) or record
            used = self._catalog.usage(record.owner).bytes
            limits.append(max(0, quota.bytes - used + current.reserved_bytes))
        return min(limits)

    def _count(self, record: ImageRecord, size: int) -> None:
        """Count the size against the owner's quota; raises QuotaExceeded."""
        self._catalog.settle(record.image_id, size, self._rules.quota, ImageState.PROCESSING)

    def _hash(self, record: ImageRecord, info: ObjectInfo, run: JobRun) -> str:
        digest = hashlib.sha256()
        try:
            body = self._store.open(record.upload_key, pin=Pin(etag=info.etag)).body
            try:
                for block in body:
                    digest.update(block)
                    run.check()
            finally:
                body.close()
        except (BodyBroken, ObjectMissing, ObjectChanged) as error:
            raise StoreUnavailable("the imported object could not be read to check its SHA-256") from error
        return digest.hexdigest()


def _check_hash(run: JobRun, found: str | None) -> None:
    """Compare the file's SHA-256, if it is known, with the declared one."""
    declared = run.job.params.get("sha256")
    if found is not None and declared not in (None, found):
        raise BadRequest(f"sha256: the file at the URL has SHA-256 {found}, not {declared}")


def _kept_parts(upload: ObjectUpload) -> int:
    """Return how many whole parts from the first on the store has."""
    count = 0
    while upload.present.get(count + 1) == upload.part_size:
        count += 1
    return count


def _hashed(
    blocks: Iterator[bytes], update: Callable[[bytes], None], check: Callable[[], None]
) -> Iterator[bytes]:
    for block in blocks:
        # Not once a part only: a slow server may take hours for one.
        check()
        update(block)
        yield block


def _skip(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Yield the blocks without their first `count` bytes."""
    for block in blocks:
        kept = block[count:]
        count -= len(block) - len(kept)
        if kept:
            yield kept


def _parts(blocks: Iterator[bytes], size: int) -> Iterator[bytearray]:
    """Yield the bytes of the blocks in parts of `size` bytes; the last one may be shorter.

    Each is in memory once.
    """
    part = bytearray()
    for block in blocks:
        rest = memoryview(block)
        while rest:
            taken = min(len(rest), size - len(part))
            part += rest[:taken]
            rest = rest[taken:]
            if len(part) == size:
                yield part
                part = bytearray()
    if part:
        yield part


def _sent(parts: Iterator[bytearray], upload: ObjectUpload, kept: int) -> Generator[int]:
    """Send parts while the next are fetched. Yield the length of each that the store has."""
    pending: deque[tuple[int, Future[None]]] = deque()
    at_once = max(1, upload.parts_at_once(PARTS_SENT_AT_ONCE + 1) - 1)
    with ThreadPoolExecutor(at_once, "send-part") as pool:
        for number, part in enumerate(parts, kept + 1):
            if len(pending) == at_once:
                yield _wait(pending)
            pending.append((len(part), pool.submit(upload.put, number, part)))
        while pending:
            yield _wait(pending)


def _wait(pending: deque[tuple[int, Future[None]]]) -> int:
    length, future = pending.popleft()
    future.result()
    return length
