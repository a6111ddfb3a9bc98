"""Deltas in this process, which answer as docs/reference/http-api.md says and fail as they are told."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from image_gateway.protocol.deltas.segment import SegmentError, count_blocks, parse_segment
from tests.client.fake import FaultyRoutes
from tests.client.fake_sharing import moment

NOW = datetime(2031, 1, 1, tzinfo=UTC)
VERSION = "3b1f"
Answer = tuple[int, Any, dict[str, str]]


@dataclass
class FakeDelta:
    image_id: str
    block_size: int
    name: str | None
    contents: dict[int, bytes]
    generation: int = 0
    epoch: int = 0
    delta_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    segments: list[bytes] = field(default_factory=list)
    answers: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    resets: set[int] = field(default_factory=set)
    parent: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        return len(self.contents[self.generation])

    def etag(self, generation: int) -> str:
        return f'"{VERSION}.{self.delta_id}.{generation}"'

    def append(self, data: bytes) -> None:
        self.generation += 1
        self.contents[self.generation] = data


@dataclass
class FakeSession:
    delta: FakeDelta
    epoch: int
    lease_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    expired: bool = False
    ended: bool = False

    @property
    def token(self) -> str:
        return f"igl~k1~{self.lease_id}~SECRET"


class FakeDeltas(FaultyRoutes):
    """The routes of deltas, and what the gateway is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.deltas: dict[str, FakeDelta] = {}
        self.sessions: dict[str, FakeSession] = {}
        self.bodies: list[Any] = []
        self.keys: list[str] = []
        self.reads: list[tuple[int, int]] = []
        self.jobs: deque[dict[str, Any]] = deque()
        self.lease_seconds = 600
        self.before_commit: Callable[[], object] = lambda: None
        self.on_read: Callable[[], object] = lambda: None
        self.before_bytes: Callable[[], object] = lambda: None

    def add(self, data: bytes, block_size: int = 4096, name: str | None = None) -> FakeDelta:
        delta = FakeDelta(str(uuid.uuid4()), block_size, name, {0: data})
        self.deltas[delta.delta_id] = delta
        return delta

    def steal(self, delta: FakeDelta) -> None:
        """Let somebody else become the writer."""
        delta.epoch += 1

    # The routes: what is found in the path, the query or body, and the headers.

    def create(self, _: str, body: dict[str, Any]) -> Answer:
        self.bodies.append(body)
        if "fromDelta" in body:
            parent = self.deltas[body["fromDelta"]]
            generation = body.get("generation", parent.generation)
            made = self.add(parent.contents[generation], parent.block_size, body.get("name"))
            made.parent = {"deltaId": parent.delta_id, "generation": generation}
        else:
            made = self.add(bytes(8192), body.get("blockSize", 4096), body.get("name"))
        return 201, self.document(made), {"ETag": '"0"'}

    def page(self, _: str, query: dict[str, Any]) -> Answer:
        found = [d for d in self.deltas.values() if query.get("imageId", d.image_id) == d.image_id]
        return self._page("deltas", [self.document(delta) for delta in found], query)

    def show(self, delta_id: str, _: dict[str, Any]) -> Answer:
        return 200, self.document(self.deltas[delta_id]), {}

    def delete(self, delta_id: str, _: dict[str, Any]) -> Answer:
        del self.deltas[delta_id]
        return 200, {"ok": True}, {}

    def log(self, delta_id: str, query: dict[str, Any]) -> Answer:
        delta = self.deltas[delta_id]
        numbers = range(delta.generation, 0, -1)
        commits = [
            {"generation": number, "epoch": 1, "blocks": blocks, "bytes": 4096, "created": moment(NOW)}
            for number, blocks in ((number, int(number not in delta.resets)) for number in numbers)
        ]
        return self._page("commits", commits, query)

    def snapshots(self, delta_id: str, _: dict[str, Any]) -> Answer:
        return 200, {"snapshots": self.deltas[delta_id].snapshots}, {}

    def make_snapshot(self, delta_id: str, body: dict[str, Any]) -> Answer:
        delta = self.deltas[delta_id]
        generation = body.get("generation", delta.generation)
        if generation not in delta.contents:
            return _error(404, "NOT_FOUND", f"generation {generation} is no longer kept")
        made = {"snapshotId": str(uuid.uuid4()), "name": body["name"], "generation": generation}
        delta.snapshots.append({**made, "created": moment(NOW)})
        return 201, delta.snapshots[-1], {}

    def delete_snapshot(self, delta_id: str, body: dict[str, Any]) -> Answer:
        delta = self.deltas[delta_id]
        left = [snapshot for snapshot in delta.snapshots if snapshot["snapshotId"] != body["id"]]
        if len(left) == len(delta.snapshots):
            return _error(404, "NOT_FOUND", "there is no such snapshot")
        delta.snapshots = left
        return 200, {"ok": True}, {}

    def reset(self, delta_id: str, body: dict[str, Any]) -> Answer:
        delta = self.deltas[delta_id]
        delta.epoch += 1
        delta.append(delta.contents[body["generation"]])
        delta.resets.add(delta.generation)
        return 200, self.document(delta), {}

    def flatten(self, delta_id: str, body: dict[str, Any]) -> Answer:
        self.bodies.append(body)
        return 202, {"imageId": "made", "state": "processing", "job": self.jobs[0]}, {}

    def jobs_of(self, _: str, __: dict[str, Any]) -> Answer:
        return 200, {"jobs": [self.jobs[0]]}, {}

    def job(self, _: str, __: dict[str, Any]) -> Answer:
        job = self.jobs.popleft() if len(self.jobs) > 1 else self.jobs[0]
        return 200, job, {}

    def open_session(self, delta_id: str, _: dict[str, Any]) -> Answer:
        delta = self.deltas[delta_id]
        with self._lock:
            delta.epoch += 1
            session = FakeSession(delta, delta.epoch)
            self.sessions[session.token] = session
        facts = {"generation": delta.generation, "epoch": delta.epoch, "blockSize": delta.block_size}
        return 201, {**self.lease(session), **facts, "sizeBytes": delta.size}, {}

    def renew(self, session: FakeSession) -> Answer:
        if session.expired:
            return _error(401, "LEASE_EXPIRED", "the lease's session has ended: create a new lease")
        return 200, self.lease(session), {}

    def commit(self, session: FakeSession, headers: dict[str, str], body: bytes) -> Answer:
        self.keys.append(headers["Idempotency-Key"])
        self.before_commit()
        with self._lock:
            return self._commit(session, headers, body)

    def _commit(self, session: FakeSession, headers: dict[str, str], body: bytes) -> Answer:
        delta, digest = session.delta, hashlib.sha256(body).digest()
        if headers["Content-Digest"] != f"sha-256=:{base64.b64encode(digest).decode()}:":
            return _error(400, "BAD_REQUEST", "the digest is wrong")
        known = delta.answers.get(headers["Idempotency-Key"])
        if known is not None:
            if known[0] != digest:
                return _error(409, "IDEMPOTENCY_KEY_REUSED", "another body")
            return self._committed(delta, known[1])
        if session.epoch != delta.epoch:
            return _error(409, "FENCED", "the delta has a newer session")
        if headers["If-Match"] != f'"{delta.generation}"':
            return _error(412, "PRECONDITION_FAILED", f"the generation is {delta.generation}")
        try:
            content = _applied(delta, body)
        except SegmentError as error:
            return _error(400, "BAD_REQUEST", str(error))
        delta.append(content)
        delta.segments.append(body)
        delta.answers[headers["Idempotency-Key"]] = digest, delta.generation
        return self._committed(delta, delta.generation)

    def _committed(self, delta: FakeDelta, generation: int) -> Answer:
        answer = {"deltaId": delta.delta_id, "generation": generation, "epoch": delta.epoch}
        return 200, answer, {"ETag": f'"{generation}"'}

    def document(self, delta: FakeDelta) -> dict[str, Any]:
        return {
            "deltaId": delta.delta_id,
            "imageId": delta.image_id,
            "version": VERSION,
            "name": delta.name,
            "sizeBytes": delta.size,
            "blockSize": delta.block_size,
            "generation": delta.generation,
            "epoch": delta.epoch,
            "state": "active",
            "liveBytes": 0,
            "storedBytes": sum(map(len, delta.segments)),
            "created": moment(NOW),
            "updated": moment(NOW),
            **({"parent": delta.parent} if delta.parent else {}),
        }

    def lease(self, session: FakeSession) -> dict[str, Any]:
        return {
            "leaseId": session.lease_id,
            "deltaId": session.delta.delta_id,
            "imageId": session.delta.image_id,
            "token": session.token,
            "url": f"{self.url}/v1/l/{session.token}/disk.img",
            "scopes": ["disk:read", "disk:write"],
            "expiresAt": moment(NOW + timedelta(seconds=self.lease_seconds)),
            "sessionEndsAt": moment(NOW + timedelta(days=1)),
        }

    def _page(self, records: str, found: list[dict[str, Any]], query: dict[str, Any]) -> Answer:
        start, limit = int(query.get("cursor", 0)), min(int(query.get("limit", 100)), 2)
        more = {"nextCursor": str(start + limit)} if start + limit < len(found) else {}
        return 200, {records: found[start : start + limit], **more}, {}


def _applied(delta: FakeDelta, body: bytes) -> bytes:
    size, block_size = delta.size, delta.block_size
    blocks = count_blocks(size, block_size)
    table = parse_segment(body, block_size=block_size, blocks=blocks)
    content = bytearray(delta.contents[delta.generation].ljust(blocks * block_size, b"\0"))
    for entry in table.entries:
        start, length = entry.block * block_size, entry.count * block_size
        data = bytes(length)
        if entry.data_start is not None:
            data = body[table.header_bytes + entry.data_start * block_size :][:length]
        content[start : start + length] = data
    if any(content[size:]):
        raise SegmentError("the padding of the last block is not zero")
    return bytes(content[:size])


def _error(status: int, code: str, message: str) -> Answer:
    return status, {"error": {"code": code, "message": message}}, {}
