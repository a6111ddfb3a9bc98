"""A gateway and its store in this process, which fail as they are told."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.client.fake_sharing import SERVER_EPOCH, FakeSharing
from tests.client.fake_sharing import moment as _moment

SIGNATURE = "X-Amz-Signature"
PART_SIZE = 1000
RESET, PASS = "reset", "pass"


@dataclass(frozen=True)
class Fault:
    """What a route does once instead of its work; `status` RESET cuts the connection, PASS lets it work."""

    status: int | str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": {"code": "S3_UNAVAILABLE", "message": "told to fail"}}'


class FaultyRoutes:
    """Routes that fail as they are told, and a record of those that were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.asked: list[str] = []
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next requests of a route fail, one after the other; `ROUTE.lost` loses the answer only."""
        self._faults[route].extend(faults)

    def forgive(self, route: str) -> None:
        """Let the route work again."""
        self._faults[route].clear()

    def next_fault(self, route: str) -> Fault | None:
        with self._lock:
            self.asked.append(route)
            fault = self._faults[route].popleft() if self._faults[route] else None
            return None if fault is None or fault.status == PASS else fault


@dataclass
class FakeImage:
    upload_id: str
    size: int | None
    sha256: str | None
    name: str
    state: str = "uploading"
    parts: dict[int, bytes] = field(default_factory=dict)
    etags: dict[int, str] = field(default_factory=dict)
    data: bytes = b""

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}-1"'


class FakeGateway(FaultyRoutes, FakeSharing):
    """The routes that the client uses, a store behind them, and a record of what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, FakeImage] = {}
        self.puts: list[int] = []
        self.signed: list[list[int]] = []
        self.listed: list[dict[str, str]] = []
        self.lifetime = 900.0
        self.dead_signatures: set[str] = set()
        self.on_put: Callable[[int], None] = lambda _: None
        self.on_range: Callable[[], None] = lambda: None
        self.part_etag: Callable[[bytes], str] = lambda data: f'"{hashlib.md5(data).hexdigest()}"'
        self._serial = 0

    def store_part(self, image_id: str, number: int, data: bytes) -> str:
        with self._lock:
            image = self.images[image_id]
            image.parts[number] = data
            image.etags[number] = self.part_etag(data)
            self.puts.append(number)
            return image.etags[number]

    def add_image(self, name: str, data: bytes = b"", sha256: str | None = None) -> str:
        image_id = str(uuid.uuid4())
        self.images[image_id] = FakeImage("u", len(data), sha256, name, state="complete", data=data)
        return image_id

    # The routes: each returns an answer, or a tuple of status, code and message.

    def create(self, _: str, body: dict[str, Any]) -> Any:
        image_id = str(uuid.uuid4())
        upload_id = f"secret-upload-{uuid.uuid4()}"
        size, sha256 = body.get("sizeBytes"), body.get("sha256")
        self.images[image_id] = FakeImage(upload_id, size, sha256, body.get("name") or body["filename"])
        return self._plan(image_id)

    def urls(self, image_id: str, body: dict[str, Any]) -> Any:
        with self._lock:
            self.signed.append(body["partNumbers"])
            self._serial += 1
            serial = self._serial
        urls = [
            {"partNumber": number, "url": f"{self.url}/store/{image_id}/{number}?{SIGNATURE}=sig{serial}"}
            for number in body["partNumbers"]
        ]
        expires = SERVER_EPOCH + timedelta(seconds=self.lifetime)
        return {"urls": urls, "expiresAt": _moment(expires), "serverTime": _moment(SERVER_EPOCH)}

    def status(self, image_id: str, _: dict[str, Any]) -> Any:
        image = self.images[image_id]
        if image.state != "uploading":
            return 409, "INVALID_STATE", "the image is not being uploaded"
        parts = [
            {"partNumber": number, "size": len(data), "etag": image.etags[number]}
            for number, data in sorted(image.parts.items())
        ]
        declared = {"sizeBytes": image.size, "sha256": image.sha256}
        present = {name: value for name, value in declared.items() if value is not None}
        return {**self._plan(image_id), **present, "serverTime": _moment(SERVER_EPOCH), "parts": parts}

    def abort(self, image_id: str, _: dict[str, Any]) -> Any:
        self.images[image_id].state = "failed"
        return {"ok": True}

    def complete(self, image_id: str, body: dict[str, Any]) -> Any:
        image = self.images[image_id]
        listed = {part["partNumber"]: part["etag"] for part in body["parts"]}
        if {number: image.etags.get(number) for number in listed} != listed:
            return 400, "BAD_REQUEST", "the ETag does not match the store's"
        image.data = b"".join(image.parts[number] for number in sorted(listed))
        if image.size is not None and len(image.data) != image.size:
            return 400, "BAD_REQUEST", "the parts are not of the declared size"
        if image.sha256 and hashlib.sha256(image.data).hexdigest() != image.sha256:
            image.state = "failed"
            return 409, "INVALID_STATE", "another SHA-256 was declared"
        image.state = "complete"
        return {
            "ok": True,
            "size": len(image.data),
            "etag": image.etag,
            "lastModified": _moment(SERVER_EPOCH),
        }

    def image(self, image_id: str, _: dict[str, Any]) -> Any:
        image = self.images[image_id]
        ready = image.state == "complete"
        return {
            "imageId": image_id,
            "name": image.name,
            "kind": "disk",
            "state": image.state,
            "size": len(image.data) if ready else None,
            "etag": image.etag if ready else None,
            "sha256": image.sha256,
            "created": _moment(SERVER_EPOCH),
        }

    def change(self, image_id: str, body: dict[str, Any]) -> Any:
        self.images[image_id].name = body["name"]
        return self.image(image_id, {})

    def delete(self, image_id: str, _: dict[str, Any]) -> Any:
        self.images[image_id].state = "deleted"
        return {"ok": True}

    def page(self, query: dict[str, str]) -> Any:
        start, limit = int(query.get("cursor", 0)), min(int(query.get("limit", 100)), 2)
        self.listed.append(query)
        records = [self.image(image_id, {}) for image_id in self.images]
        chosen = [record for record in records if query.get("name", "") in record["name"]]
        more = {"nextCursor": str(start + limit)} if start + limit < len(chosen) else {}
        return {"images": chosen[start : start + limit], **more}

    def _plan(self, image_id: str) -> dict[str, Any]:
        expires = _moment(SERVER_EPOCH + timedelta(days=7))
        upload_id = self.images[image_id].upload_id
        return {"imageId": image_id, "uploadId": upload_id, "partSize": PART_SIZE, "expiresAt": expires}
