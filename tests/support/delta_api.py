"""Deltas by the HTTP API, as a client would use them."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from werkzeug.test import TestResponse

from image_gateway.protocol.deltas.segment import Extent, encode_segment
from tests.support.world import OWNER, Image, World

BLOCK = 512
OCTETS = "application/octet-stream"


def digest_of(body: bytes) -> str:
    """Return the Content-Digest of a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def one_block(data: bytes = b"x" * BLOCK, block: int = 0) -> bytes:
    """Return a segment of one extent."""
    return encode_segment(BLOCK, [Extent(block, len(data) // BLOCK, data)])


@dataclass
class DeltaApi:
    """One delta of the owner over an image of 300 blocks of 512 bytes and a part of one more."""

    world: World
    image: Image
    delta_id: str
    token: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        return f"/v1/deltas/{self.delta_id}"

    def ask(self, method: str, below: str = "", **options: Any) -> TestResponse:
        """Request as the owner, or as `user`."""
        return self.world.request(method, self.path + below, **options)

    def done(self, method: str, below: str = "", status: int = 200, **options: Any) -> dict[str, Any]:
        """Request what must succeed, and return the document."""
        answer = self.ask(method, below, **options)
        assert answer.status_code == status, answer.text
        document: dict[str, Any] = answer.get_json()
        return document

    def open_session(self) -> dict[str, Any]:
        """Become the writer."""
        session = self.done("POST", "/sessions", 201)
        self.token = session["token"]
        return session

    def headers(self, body: bytes, generation: int) -> dict[str, str]:
        """Return the headers of a commit that nothing is wrong with."""
        return {
            "Authorization": f"Bearer {self.token}",
            "If-Match": f'"{generation}"',
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Digest": digest_of(body),
            "Content-Type": OCTETS,
        }

    def commit(self, body: bytes, generation: int, **changes: str | None) -> TestResponse:
        """Commit; `changes` are headers by their names with underscores, None for one that is left out."""
        replaced = {name.replace("_", "-").title(): value for name, value in changes.items()}
        merged = {name.title(): value for name, value in self.headers(body, generation).items()} | replaced
        headers = {name: value for name, value in merged.items() if value is not None}
        return self.world.request("POST", f"{self.path}/commits", user=None, data=body, headers=headers)

    def write(self, *blocks: int) -> int:
        """Commit blocks one by one by the newest session, and return the generation."""
        generation = int(self.done("GET")["generation"])
        for block in blocks:
            answer = self.commit(one_block(bytes([65 + generation % 26]) * BLOCK, block), generation)
            assert answer.status_code == 200, answer.text
            generation = answer.get_json()["generation"]
        return generation


def make_delta(world: World, image: Image, *, user: str = OWNER, **body: Any) -> DeltaApi:
    """Create a delta of 512-byte blocks."""
    wanted = {"imageId": image.image_id, "blockSize": BLOCK, **body}
    answer = world.request("POST", "/v1/deltas", user=user, json=wanted)
    assert answer.status_code == 201, answer.text
    return DeltaApi(world, image, answer.get_json()["deltaId"])


def error_of(answer: TestResponse) -> tuple[int, str]:
    """Return status and code of an error."""
    return answer.status_code, answer.get_json()["error"]["code"]
