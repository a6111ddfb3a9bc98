"""Sessions and commits: the writer of a delta, and what it stores.

A commit is one PUT of an object that is never overwritten, then one guarded update of the catalog, then the
answer. The catalog's row decides, never the store (ADR 31).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.clock import now_of
from image_gateway.domain.deltas import (
    COMMITS_PER_CHECKPOINT,
    EXTENTS_PER_CHECKPOINT,
    Commit,
    CommitKind,
    Delta,
    DeltaState,
    NamedObject,
)
from image_gateway.domain.images import ImageRecord, Quota
from image_gateway.errors import (
    BadRequest,
    GatewayError,
    IdempotencyKeyReused,
    NotFound,
    PreconditionFailed,
)
from image_gateway.observability.metrics import DELTA_BYTES, DELTA_COMMITS
from image_gateway.protocol.deltas.segment import (
    Extent,
    SegmentError,
    Table,
    count_blocks,
    encode_segment,
    parse_segment,
)
from image_gateway.services.deltas.checkpoints import Checkpoints, begin_recording, require_in_time
from image_gateway.services.deltas.delta_access import DeltaAccess, FoundDelta, require_epoch
from image_gateway.services.deltas.maps import DeltaMaps, segment_of
from image_gateway.services.deltas.stored_objects import write_segment
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CommitRequest:
    """What a writer sends: the generation that it knows, its key, and a segment with its SHA-256 in hex."""

    generation: int
    idempotency_key: str
    body: bytes
    sha256: str


class Commits:
    """Applies the commits of sessions, each wholly or not at all."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        access: DeltaAccess,
        maps: DeltaMaps,
        checkpoints: Checkpoints,
        quota: Quota,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._access = access
        self._maps = maps
        self._checkpoints = checkpoints
        self._quota = quota
        self._clock = clock

    def commit(self, delta_id: str, caller: Caller, request: CommitRequest) -> Commit:
        """Store a segment as the next generation, or return the commit that its key made before.

        Raises:
            BadRequest: The segment is damaged, has another digest, or does not fit the delta.
            Fenced: A newer session is the writer.
            PreconditionFailed: The delta is at another generation.
            IdempotencyKeyReused: The key belongs to other bytes.
            QuotaExceeded: The owner's limit of bytes is reached.
        """
        return self._apply(self._access.find_writer(delta_id, caller), request)

    def write_block(
        self, delta_id: str, caller: Caller, index: int, data: bytes, generation: int, key: str | None
    ) -> Commit:
        """Store one block: a commit of one extent; raises as `commit`."""
        found = self._access.find_writer(delta_id, caller)
        block_size, blocks = (
            found.delta.block_size,
            count_blocks(found.delta.disk_size, found.delta.block_size),
        )
        if index >= blocks:
            raise NotFound(f"there is no block {index}: the disk has {blocks}")
        if len(data) != block_size:
            raise BadRequest(f"a block has {block_size} bytes, the body has {len(data)}")
        body = encode_segment(block_size, [Extent(index, 1, data)])
        sha256 = hashlib.sha256(body).hexdigest()
        return self._apply(found, CommitRequest(generation, key or secrets.token_hex(16), body, sha256))

    def _apply(self, found: FoundDelta, request: CommitRequest) -> Commit:
        try:
            return self._commit(found, request)
        except GatewayError as error:
            DELTA_COMMITS.labels(error.code.lower()).inc()
            raise

    def _commit(self, found: FoundDelta, request: CommitRequest) -> Commit:
        delta, record = found.delta, found.record
        table = _parse(delta, request)
        leased = found.leased
        if leased is None or leased.epoch != delta.epoch or request.generation != delta.generation:
            return self._explain_refusal(found, request)
        commits, extents = delta.generation - delta.checkpoint_generation, delta.recent_extents
        if commits >= COMMITS_PER_CHECKPOINT or extents >= EXTENTS_PER_CHECKPOINT:
            self._checkpoints.renew(delta, record)
            delta = self._catalog.deltas.find(delta.delta_id) or delta
        until = begin_recording()
        commit = self._put(found, leased.epoch, request, table)
        require_in_time(until)
        if not self._record(delta, record, commit):
            return self._explain_refusal(found, request)
        DELTA_COMMITS.labels("stored").inc()
        DELTA_BYTES.inc(commit.size)
        self._maps.add_commit(delta, segment_of(delta.delta_id, commit), table)
        return commit

    def _put(self, found: FoundDelta, epoch: int, request: CommitRequest, table: Table) -> Commit:
        generation = request.generation + 1
        name, etag = write_segment(
            self._store,
            found.record.location,
            found.delta.delta_id,
            request.body,
            epoch=epoch,
            generation=generation,
            sha256=request.sha256,
        )
        return Commit(
            generation=generation,
            epoch=epoch,
            kind=CommitKind.COMMIT,
            name=name,
            size=len(request.body),
            etag=etag,
            extents=len(table.entries),
            blocks=table.blocks,
            sha256=request.sha256,
            idempotency_key=request.idempotency_key,
            created_at=now_of(self._clock),
        )

    def _record(self, delta: Delta, record: ImageRecord, commit: Commit) -> bool:
        """Make the segment the next generation; deletes it when it certainly did not become that."""
        written = [NamedObject(delta.delta_id, commit.name, commit.size)]
        return self._checkpoints.record(
            record, written, lambda: self._catalog.deltas.commit(delta, commit, self._quota)
        )

    def _explain_refusal(self, found: FoundDelta, request: CommitRequest) -> Commit:
        """Return what the key made before, or raise why the commit is not the next generation."""
        delta_id = found.delta.delta_id
        made = self._catalog.deltas.find_commit(delta_id, request.idempotency_key)
        if made is not None:
            if not hmac.compare_digest(made.sha256, request.sha256):
                raise IdempotencyKeyReused(
                    "this Idempotency-Key belongs to a commit of other bytes: use a new key for each commit"
                )
            DELTA_COMMITS.labels("repeated").inc()
            return made
        delta = self._catalog.deltas.find(delta_id)
        if delta is None or delta.state is DeltaState.DELETED:
            raise NotFound("there is no such delta")
        require_epoch(delta, found.leased)
        raise PreconditionFailed(
            f"the delta is at generation {delta.generation}, not at {request.generation}",
            headers={"ETag": delta.etag},
        )


def _parse(delta: Delta, request: CommitRequest) -> Table:
    if not hmac.compare_digest(hashlib.sha256(request.body).hexdigest(), request.sha256):
        raise BadRequest("Content-Digest: the body has another SHA-256: send it again")
    blocks = count_blocks(delta.disk_size, delta.block_size)
    try:
        return parse_segment(request.body, block_size=delta.block_size, blocks=blocks)
    except SegmentError as error:
        raise BadRequest(f"the body is no segment for this delta: {error}") from error
