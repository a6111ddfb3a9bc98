"""A store in memory that keeps S3's promises and nothing more, and is slow at random moments.

It answers each call at once or after a pause, and a call takes effect somewhere within its time, so that
races that need a real store to be slow at one moment come up within few rounds.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from image_gateway.errors import ObjectChanged, ObjectMissing, PartsRejected, UploadMissing
from image_gateway.protocol.parts import ClaimedPart, StoredPart
from image_gateway.protocol.ranges import ByteRange
from image_gateway.storage.listings import ListedObject, OpenUpload
from image_gateway.storage.object_reads import ObjectInfo, OpenObject, Pin

SLOWEST = 0.0007


class _Body:
    """The bytes of an object, as the services read them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        return iter([self._data])

    def read_all(self) -> bytes:
        return self._data

    def close(self) -> None:
        """Nothing is open."""


class MemoryStore:
    """What `ObjectStore` offers to the services that write."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._uploads: dict[str, tuple[str, dict[int, bytes]]] = {}

    def put_part(self, upload_id: str, number: int, data: bytes | bytearray) -> None:
        with self._lock:
            self._uploads[upload_id][1][number] = data

    def create_upload(self, key: str, *, cache_control: str) -> str:
        upload_id = uuid.uuid4().hex
        with self._lock:
            self._uploads[upload_id] = (key, {})
        return upload_id

    def list_parts(self, key: str, upload_id: str) -> list[StoredPart]:
        self._pause()
        with self._lock:
            if upload_id not in self._uploads:
                raise UploadMissing("NoSuchUpload")
            parts = self._uploads[upload_id][1]
            return [StoredPart(number, _etag(data), len(data)) for number, data in sorted(parts.items())]

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        self._pause()
        with self._lock:
            if upload_id not in self._uploads:
                raise UploadMissing("NoSuchUpload")
            self._uploads[upload_id][1][number] = bytes(data)

    def copy_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        source_key: str,
        byte_range: ByteRange,
        *,
        source_etag: str | None = None,
    ) -> None:
        with self._lock:
            if source_key not in self._objects:
                raise UploadMissing("NoSuchKey")
            if source_etag not in (None, _etag(self._objects[source_key][0])):
                raise ObjectChanged("PreconditionFailed")
            data = self._objects[source_key][0][byte_range.start : byte_range.stop]
        self.upload_part(key, upload_id, number, data)

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[ClaimedPart]) -> None:
        """Join the parts; like SeaweedFS, the parts are gone for a moment before the object is there."""
        self._pause()
        with self._lock:
            if upload_id not in self._uploads:
                raise UploadMissing("NoSuchUpload")
            _, sent = self._uploads[upload_id]
            if any(part.number not in sent for part in parts):
                raise PartsRejected("InvalidPart")
            joined = b"".join(sent[part.number] for part in parts)
            self._uploads[upload_id] = (key, {})
        self._pause()
        with self._lock:
            self._objects[key] = (joined, datetime.now(UTC).replace(microsecond=0))
            self._uploads.pop(upload_id, None)
        self._pause()

    def abort_upload(self, key: str, upload_id: str) -> None:
        self._pause()
        with self._lock:
            self._uploads.pop(upload_id, None)

    def head(self, key: str) -> ObjectInfo:
        self._pause()
        with self._lock:
            return self._info(key)

    def find(self, key: str) -> ObjectInfo | None:
        try:
            return self.head(key)
        except ObjectMissing:
            return None

    def find_listed(self, key: str) -> ObjectInfo | None:
        return self.find(key)

    def open(self, key: str, *, byte_range: object = None, pin: Pin | None = None) -> OpenObject:
        self._pause()
        with self._lock:
            info = self._info(key)
            data = self._objects[key][0]
        if byte_range is not None:
            data = data[byte_range.start : byte_range.stop]  # type: ignore[attr-defined]
        return OpenObject(info, _Body(data))  # type: ignore[arg-type]

    def put(
        self, key: str, data: bytes, *, content_type: str, cache_control: str, sha256: str | None = None
    ) -> str:
        self._pause()
        with self._lock:
            self._objects[key] = (data, datetime.now(UTC).replace(microsecond=0))
        self._pause()
        return _etag(data)

    def copy(
        self, source: str, target: str, *, source_etag: str, content_type: str, cache_control: str
    ) -> str:
        data = self.open(source, pin=Pin(etag=source_etag)).body.read_all()
        return self.put(target, data, content_type=content_type, cache_control=cache_control)

    def delete(self, key: str) -> None:
        self.delete_many([key])

    def delete_many(self, keys: Sequence[str]) -> None:
        self._pause()
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        self._pause()
        with self._lock:
            found = [(key, *self._objects[key]) for key in sorted(self._objects) if key.startswith(prefix)]
        return iter([ListedObject(key, len(data), _etag(data), moment) for key, data, moment in found])

    def list_folders(self, prefix: str) -> Iterator[str]:
        with self._lock:
            rests = [key[len(prefix) :] for key in self._objects if key.startswith(prefix)]
        return iter(sorted({f"{prefix}{rest.partition('/')[0]}/" for rest in rests if "/" in rest}))

    def list_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        with self._lock:
            found = [(key, upload_id) for upload_id, (key, _) in self._uploads.items()]
        return iter([OpenUpload(key, upload_id, datetime.now(UTC)) for key, upload_id in found])

    def _info(self, key: str) -> ObjectInfo:
        if key not in self._objects:
            raise ObjectMissing(key)
        data, moment = self._objects[key]
        return ObjectInfo(len(data), _etag(data), moment, None)

    def _pause(self) -> None:
        """Let other threads run, for a moment or not at all."""
        if self._random.random() < 0.7:
            time.sleep(self._random.random() * SLOWEST)


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


class WatchedStore(MemoryStore):
    """Calls a function of the test after each part."""

    def __init__(self) -> None:
        super().__init__(seed=1)
        self.sent: list[tuple[str, int]] = []
        self.after_part: Callable[[], None] = lambda: None

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> None:
        super().upload_part(key, upload_id, number, data)
        self.sent.append((upload_id, number))
        self.after_part()
