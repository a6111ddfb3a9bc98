"""Downloads a disk to a file in parallel ranges with resume, or only hashes it; verifies SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from urllib3 import BaseHTTPResponse

from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError, ClientError
from image_gateway.client.files import FileSlice, PartFile, Span, Version, gaps, sha256_of
from image_gateway.client.retry import Retrier
from image_gateway.client.transfer import NullProgress, OnBytes, Progress, for_each
from image_gateway.protocol.map_ordered import map_ordered

RANGE_STEP = 8 * 1024 * 1024
BLOCK = 256 * 1024


class ImageChanged(ClientError):
    """The version that is downloaded is no longer there."""


class WrongBytes(ClientError):
    """The file's SHA-256 differs from the image's record."""


@dataclass(frozen=True)
class Downloaded:
    """A finished download of an image or a delta.

    `checked` is true when the file was compared with the gateway's SHA-256. `kept` is the number of bytes
    from an earlier run.
    """

    source_id: str
    size: int
    etag: str
    sha256: str
    checked: bool
    kept: int


class DownloadSource(Protocol):
    """A disk of one version that can be downloaded; its methods raise ApiError."""

    source_id: str
    # Tells what happened when the version is gone, and what to do.
    changed: str

    def expected_sha256(self) -> object:
        """Return the SHA-256 that the gateway has of the disk; None if there is none."""

    def head(self) -> Mapping[str, str]:
        """Return the headers that a GET of the whole disk would have."""

    def open_range(self, start: int, stop: int, etag: str) -> AbstractContextManager[BaseHTTPResponse]:
        """Yield the unread response to a range request, as `GatewayClient.open_range`."""


class ImageSource:
    """The disk of an image.

    Args:
        by_lease: The client may read the image data but not its record.
    """

    def __init__(self, client: GatewayClient, image_id: str, *, by_lease: bool = False) -> None:
        self.source_id = image_id
        self.changed = (
            f"image {image_id} was changed while it was downloaded: "
            "run the same command again to download the new version"
        )
        self._client, self._by_lease = client, by_lease

    def expected_sha256(self) -> object:
        return None if self._by_lease else self._client.image(self.source_id).get("sha256")

    def head(self) -> Mapping[str, str]:
        return self._client.head_range(self.source_id)

    def open_range(self, start: int, stop: int, etag: str) -> AbstractContextManager[BaseHTTPResponse]:
        return self._client.open_range(self.source_id, start, stop, etag)


class Downloading:
    """Download of one disk to one file.

    Args:
        sparse: Leave holes in the file where the disk has zeros.
    """

    def __init__(
        self,
        source: DownloadSource,
        target: Path,
        *,
        retrier: Retrier,
        parallel: int,
        progress: Progress | None = None,
        sparse: bool = False,
    ) -> None:
        self._source, self._target, self._sparse = source, target, sparse
        self._retrier, self._parallel = retrier, parallel
        self._progress = progress or NullProgress()

    def run(self) -> Downloaded:
        """Download the missing ranges, verify the file and rename it to its final name.

        Raises:
            ImageChanged: The version is no longer there.
            WrongBytes: The SHA-256 does not match.
            ClientError: The file cannot be written.
        """
        # Before the HEAD request, because an error response to HEAD has no message.
        expected = self._retrier.call(self._source.expected_sha256)
        version = self._retrier.call(self._fetch_version)
        try:
            with PartFile(self._target, version, sparse=self._sparse) as part:
                kept = part.bytes_there()
                self._fetch(part, version)
                sha256 = self._hash(part, version)
                if expected and sha256 != str(expected).lower():
                    part.distrust()
                    raise WrongBytes(
                        f"SHA-256 mismatch: {part.path} has {sha256}, the image's is {expected}; "
                        "the file was not renamed, the next download starts over"
                    )
                part.finish()
        except OSError as error:
            raise ClientError(f"{self._target}: {error.strerror}") from error
        return Downloaded(version.source_id, version.size, version.etag, sha256, bool(expected), kept)

    def _fetch_version(self) -> Version:
        headers = self._source.head()
        try:
            return Version(self._source.source_id, headers["ETag"], int(headers["Content-Length"]))
        except (KeyError, ValueError):
            raise ApiError("the response has no ETag or Content-Length: check the address") from None

    def _fetch(self, part: PartFile, version: Version) -> None:
        missing = list(gaps(part.spans, version.size, RANGE_STEP))
        with self._progress.bar("downloading ranges", version.size, part.bytes_there()) as on_bytes:

            def fetch(index: int) -> None:
                reader = _RangeDownload(self._source, version, part, missing[index], self._retrier, on_bytes)
                self._retrier.call(reader.resume)
                part.note(missing[index])

            for_each(fetch, range(len(missing)), parallel=self._parallel, stop=self._retrier.stop)

    def _hash(self, part: PartFile, version: Version) -> str:
        with (
            self._progress.bar("checking the file", version.size) as on_bytes,
            FileSlice(part.path, 0, version.size, stop=self._retrier.stop, on_bytes=on_bytes) as source,
        ):
            return sha256_of(source)


class _RangeDownload:
    """Download of one range; after a connection error it resumes at the current position."""

    def __init__(
        self,
        source: DownloadSource,
        version: Version,
        part: PartFile,
        span: Span,
        retrier: Retrier,
        on_bytes: OnBytes,
    ) -> None:
        self._source, self._version, self._part, self._retrier = source, version, part, retrier
        self._position, self._stop = span
        self._on_bytes = on_bytes

    def resume(self) -> None:
        version, start = self._version, self._position
        with self._source.open_range(start, self._stop, version.etag) as answer:
            self._check(answer)
            for block in answer.stream(BLOCK, decode_content=False):
                self._retrier.check()
                self._part.write(block, self._position)
                self._position += len(block)
                self._on_bytes(len(block))
        if self._position != self._stop:
            raise ApiError(f"incomplete range: {self._stop - self._position} bytes missing", retryable=True)

    def _check(self, answer: BaseHTTPResponse) -> None:
        version = self._version
        if answer.status in (200, 412):
            raise ImageChanged(self._source.changed)
        expected = f"bytes {self._position}-{self._stop - 1}/{version.size}"
        if (answer.headers.get("Content-Range"), answer.headers.get("ETag")) != (expected, version.etag):
            raise ApiError("the gateway returned another range than requested")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise ApiError("unexpected Content-Encoding: a proxy has changed the response")


def hash_by_ranges(
    client: GatewayClient, image_id: str, size: int, *, step: int, parallel: int, on_bytes: OnBytes
) -> str:
    """Read an image in ranges of `step` bytes and return its SHA-256."""

    def read(index: int) -> bytes:
        return client.read_range(image_id, index * step, min((index + 1) * step, size))

    return _hash(map_ordered(read, -(-size // step), parallel), on_bytes)


def hash_by_chunks(client: GatewayClient, image_id: str, *, parallel: int, on_bytes: OnBytes) -> str:
    """Read an image by its chunks, verify each chunk's hash, and return the SHA-256 of the image.

    Raises:
        ValueError: A chunk does not match the manifest.
    """
    manifest = client.read_manifest(image_id)

    def read(index: int) -> bytes:
        data = client.read_chunk(image_id, index, manifest)
        if hashlib.sha256(data).hexdigest() != manifest.sha256s[index]:
            raise ValueError(f"chunk {index} does not match the SHA-256 in the manifest")
        return data

    return _hash(map_ordered(read, len(manifest.sha256s), parallel), on_bytes)


def _hash(blocks: Iterator[bytes], on_bytes: OnBytes) -> str:
    whole = hashlib.sha256()
    for block in blocks:
        whole.update(block)
        on_bytes(len(block))
    return whole.hexdigest()
