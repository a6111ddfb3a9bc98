"""Calls of the gateway's API about deltas."""

from __future__ import annotations

import base64
import hashlib
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3 import BaseHTTPResponse

from image_gateway.client import answers
from image_gateway.client.answers import Lease
from image_gateway.client.api import GatewayClient
from image_gateway.client.credentials import CredentialSource
from image_gateway.client.errors import ApiError
from image_gateway.client.leases import RenewedLease
from image_gateway.client.transport import CONNECT_SECONDS, parse

# An answer that takes longer counts as lost, and the request is sent again.
ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Commit:
    """A segment to write on top of `generation`; the key tells a repetition from another commit."""

    segment: bytes = field(repr=False)
    generation: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Session:
    """The right to write a delta; `size` and `block_size` are in bytes."""

    generation: int
    epoch: int
    size: int
    block_size: int
    lease: Lease


class StaleGeneration(ApiError):
    """The delta has another generation than the one that was to be read or replaced."""


class DeltasClient:
    """Deltas of one gateway. All methods raise ApiError."""

    def __init__(self, client: GatewayClient) -> None:
        self.client = client

    def create(self, image_id: str, **options: str | int | None) -> dict[str, Any]:
        """Create a delta over an image; `options` takes blockSize and name. Return the delta."""
        return self._post("", 201, imageId=image_id, **options)

    def fork(self, delta_id: str, **options: str | int | None) -> dict[str, Any]:
        """Create a delta on top of another; `options` takes generation and name. Return the delta."""
        return self._post("", 201, fromDelta=delta_id, **options)

    def list(self, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of `deltas`; `filters` takes imageId, limit and cursor."""
        return self.client.page("/v1/deltas", "deltas", filters)

    def delta(self, delta_id: str) -> dict[str, Any]:
        """Return a delta."""
        return self.client.send_json("GET", _delta(delta_id))

    def delete(self, delta_id: str) -> None:
        """Delete a delta and its data."""
        self.client.send_json("DELETE", _delta(delta_id))

    def log(self, delta_id: str, **filters: str | int | None) -> dict[str, Any]:
        """Return one page of `commits`, newest first; `filters` takes limit and cursor."""
        return self.client.page(_delta(delta_id, "/commits"), "commits", filters)

    def snapshots(self, delta_id: str) -> dict[str, Any]:
        """Return the `snapshots` of a delta."""
        return self.client.page(_delta(delta_id, "/snapshots"), "snapshots", {})

    def make_snapshot(self, delta_id: str, name: str, generation: int | None = None) -> dict[str, Any]:
        """Name a generation, by default the newest, and keep it. Return the snapshot."""
        return self._post(f"/{_quoted(delta_id)}/snapshots", 201, name=name, generation=generation)

    def delete_snapshot(self, delta_id: str, snapshot_id: str) -> None:
        """Delete a snapshot."""
        self.client.send_json("DELETE", _delta(delta_id, f"/snapshots/{_quoted(snapshot_id)}"))

    def reset(self, delta_id: str, generation: int) -> dict[str, Any]:
        """Make a new generation with the contents of an earlier one; all sessions end. Return the delta."""
        return self._post(f"/{_quoted(delta_id)}/reset", 200, generation=generation)

    def flatten(self, delta_id: str, **options: str | int | None) -> dict[str, Any]:
        """Queue the making of an image; `options` takes name and generation. Return imageId and job."""
        return self._post(f"/{_quoted(delta_id)}/flatten", 202, **options)

    def open_session(self, delta_id: str) -> Session:
        """Become the writer of a delta; its earlier sessions end."""
        response = self.client.send("POST", _delta(delta_id, "/sessions"), {}, expected=(201,))
        return parse(_session, response)

    def end_session(self, lease: RenewedLease) -> None:
        """End a session before its time."""
        self.client.send_json("DELETE", f"/v1/leases/{_quoted(lease.lease_id)}", who=lease)

    def commit(self, delta_id: str, commit: Commit, session: CredentialSource) -> int:
        """Write a segment and return the new generation.

        Raises:
            StaleGeneration: The delta is at another generation than the commit's.
        """
        digest = base64.b64encode(hashlib.sha256(commit.segment).digest()).decode()
        response = self.client.send(
            "POST",
            _delta(delta_id, "/commits"),
            data=commit.segment,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Digest": f"sha-256=:{digest}:",
                "If-Match": f'"{commit.generation}"',
                "Idempotency-Key": commit.key,
            },
            expected=(200, 412),
            who=session,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        if response.status == 412:
            raise StaleGeneration(f"generation {commit.generation} is not the newest any more", status=412)
        return parse(lambda answer: int(answer.json()["generation"]), response)

    def read(self, session: RenewedLease, start: int, stop: int, size: int, etag: str) -> bytes:
        """Return bytes `start` to `stop`, `stop` excluded, of the newest generation of a session's delta.

        Args:
            size: Size of the disk in bytes.
            etag: The ETag of the generation to read.

        Raises:
            StaleGeneration: The newest generation has another ETag.
        """
        token = session.credentials().secret
        response = self.client.send(
            "GET",
            f"/v1/l/{token}/disk.img",
            headers={"Range": f"bytes={start}-{stop - 1}", "If-Match": etag},
            expected=(206, 412),
            who=session,
            hidden=token,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        if response.status == 412:
            raise StaleGeneration("the delta has changed", status=412)
        expected = (f"bytes {start}-{stop - 1}/{size}", etag, stop - start)
        received = (response.headers.get("Content-Range"), response.headers.get("ETag"), len(response.data))
        if received != expected:
            raise ApiError("the gateway returned other bytes of the delta than requested")
        return response.data

    def head(self, delta_id: str, generation: int | None) -> dict[str, str]:
        """Return the response headers of a HEAD request for the disk of base and delta."""
        return dict(self.client.send("HEAD", _disk(delta_id, generation)).headers)

    def open_range(
        self, delta_id: str, generation: int, start: int, stop: int, etag: str
    ) -> AbstractContextManager[BaseHTTPResponse]:
        """Yield the unread response to a range request for a generation, as `stream_range` of the client."""
        return self.client.stream_range(_disk(delta_id, generation), start, stop, etag)

    def _post(self, path: str, expected: int, **values: str | int | None) -> dict[str, Any]:
        body = {name: value for name, value in values.items() if value is not None}
        return self.client.send_json("POST", f"/v1/deltas{path}", body, expected=(expected,))


def _session(answer: BaseHTTPResponse) -> Session:
    document = answer.json()
    return Session(
        int(document["generation"]),
        int(document["epoch"]),
        int(document["sizeBytes"]),
        int(document["blockSize"]),
        answers.lease(document, answer.headers.get("Date")),
    )


def _disk(delta_id: str, generation: int | None) -> str:
    query = "" if generation is None else f"?{urlencode({'generation': generation})}"
    return _delta(delta_id, f"/disk.img{query}")


def _delta(delta_id: str, rest: str = "") -> str:
    return f"/v1/deltas/{_quoted(delta_id)}{rest}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
