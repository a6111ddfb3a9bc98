"""Deltas through nginx: the gateway's answers, new bytes at once after a commit, and no limit of reads."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from image_gateway.protocol.deltas.segment import Extent, encode_segment
from tests.live.edge.conftest import DATA, SIZE, Pair, StartPair
from tests.support.fake_store import wait_for

BLOCK = 4096
READ = {"Range": f"bytes={BLOCK}-{2 * BLOCK - 1}"}


@dataclass
class Writer:
    """A session of a new delta, through nginx."""

    pair: Pair
    owner: str
    image_id: str
    generation: int = 0
    disk: bytearray = field(default_factory=lambda: bytearray(DATA))

    def __post_init__(self) -> None:
        self.delta_id = self.post("/v1/deltas", imageId=self.image_id)["deltaId"]
        session = self.post(f"/v1/deltas/{self.delta_id}/sessions")
        self.token: str = session["token"]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        headers = {"X-User-Id": self.owner, "Content-Type": "application/json"}
        answer = self.pair.ask("POST", path, headers, body=json.dumps(body).encode())
        assert answer.status in (200, 201), answer.body
        document: dict[str, Any] = json.loads(answer.body)
        return document

    def write(self, block: int, data: bytes) -> None:
        body = encode_segment(BLOCK, [Extent(block, len(data) // BLOCK, data)])
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/octet-stream",
            "If-Match": f'"{self.generation}"',
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Digest": f"sha-256=:{digest}:",
        }
        answer = self.pair.ask("POST", f"/v1/deltas/{self.delta_id}/commits", headers, body=body)
        assert answer.status == 200, answer.body
        self.generation += 1
        self.disk[block * BLOCK : block * BLOCK + len(data)] = data


@pytest.fixture
def writer(pair: Pair, owner: str, image_id: str) -> Writer:
    return Writer(pair, owner, image_id)


def test_a_commit_is_in_the_next_answer_through_nginx(pair: Pair, writer: Writer) -> None:
    """Whatever nginx keeps of the base and of permissions."""
    paths = {
        f"/v1/l/{writer.token}/disk.img": {},
        f"/v1/l/{writer.token}/raw/disk.img": {},
        f"/v1/deltas/{writer.delta_id}/disk.img": {"X-User-Id": writer.owner},
        f"/v1/deltas/{writer.delta_id}/views/webvm/bytes/disk.ext2": {"X-User-Id": writer.owner},
    }
    seen = set()
    for number in range(3):
        for path, user in paths.items():
            part, whole = pair.ask("GET", path, {**user, **READ}), pair.ask("GET", path, user)
            assert (part.status, part.body) == (206, bytes(writer.disk[BLOCK : 2 * BLOCK]))
            assert (whole.status, whole.body) == (200, bytes(writer.disk))
            assert part.headers["etag"].endswith(f'.{writer.delta_id}.{writer.generation}"')
            seen.add(part.headers["etag"])
        writer.write(1, bytes([number + 1]) * BLOCK)
    assert len(seen) == 3
    base = pair.ask("GET", f"/v1/images/{writer.image_id}/range", {"X-User-Id": writer.owner, **READ})
    assert base.body == DATA[BLOCK : 2 * BLOCK]


REQUESTS: list[dict[str, str]] = [
    {},
    {"Range": "bytes=0-9"},
    {"Range": f"bytes=4000-{SIZE}"},
    {"Range": f"bytes={SIZE}-"},
    {"Range": "bytes=0-1,3-4"},
    {"If-None-Match": "*"},
    {"If-Match": '"other"'},
    {"Range": "bytes=0-9", "If-Range": "Sat, 28 Nov 2099 10:00:00 GMT"},
]


def test_answers_are_those_of_the_gateway(pair: Pair, writer: Writer) -> None:
    writer.write(0, b"\7" * 2 * BLOCK)
    user = {"X-User-Id": writer.owner}
    for method in ("GET", "HEAD"):
        for path, headers in [
            (f"/v1/l/{writer.token}/disk.img", {}),
            (f"/v1/l/{writer.token}/raw/disk.img", {}),
            (f"/v1/l/{writer.token}/v86/65536/disk-0-65536.img", {}),
            (f"/v1/deltas/{writer.delta_id}/disk.img", user),
            (f"/v1/deltas/{writer.delta_id}/views/v86/65536/disk-0-65536.img", user),
            (f"/v1/deltas/{uuid.uuid4()}/views/raw/disk.img", user),
        ]:
            for requested in REQUESTS:
                direct, through = pair.both(method, path, {**headers, **requested})
                assert through == direct, (path, requested)
                assert "last-modified" not in through.headers


def test_reads_of_deltas_are_not_counted_as_requests(start_pair: StartPair, owner: str) -> None:
    """nor asked about again and again."""
    pair = start_pair(EDGE_REQUESTS_PER_SECOND="20", ACCESS_CACHE_SECONDS="60")
    writer = Writer(pair, owner, pair.make_image(owner))
    paths = [f"/v1/l/{writer.token}/disk.img", f"/v1/deltas/{writer.delta_id}/disk.img"]
    for path in paths:
        statuses = {pair.ask("GET", path, {"X-User-Id": owner, **READ}).status for _ in range(100)}
        assert statuses == {206}
    request_id = "one-more-read-of-a-delta"
    assert pair.ask("GET", paths[0], {"X-User-Id": owner, "X-Request-Id": request_id, **READ}).status == 206

    def lines() -> list[str]:
        return [line for line in pair.logs().splitlines() if request_id in line]

    # nginx writes its line late.
    wait_for(lambda: any('"cache"' in line for line in lines()))
    assert [line for line in lines() if "edge /v1" in line] == []
