"""Splits a file into upload parts, and reads one slice of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from image_gateway.client.errors import ClientError, FileChanged, Stopped

OnBytes = Callable[[int], None]
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class FileFacts:
    """Size and modification time, by which a changed file is detected."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileFacts:
        """Return the facts of a file; raises ClientError when stat fails."""
        try:
            status = path.stat()
        except OSError as error:
            raise ClientError(f"{path}: {error.strerror}") from error
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class PartPlan:
    """Splits a file into parts 1 to `count` of `part_size` bytes, the last one shorter.

    An empty file is one empty part.
    """

    size: int
    part_size: int

    @property
    def count(self) -> int:
        return max(1, -(-self.size // self.part_size))

    @property
    def numbers(self) -> range:
        return range(1, self.count + 1)

    def start(self, number: int) -> int:
        return (number - 1) * self.part_size

    def length(self, number: int) -> int:
        return min(self.part_size, self.size - self.start(number))


class FileSlice:
    """A context manager that reads `length` bytes of a file from offset `start`.

    Args:
        stop: Event that cancels reading.
        on_bytes: Called with the number of bytes of each read.

    Raises:
        Stopped: `stop` was set.
        FileChanged: The file is too short.
        ClientError: The file cannot be read.
    """

    def __init__(
        self, path: Path, start: int, length: int, *, stop: threading.Event, on_bytes: OnBytes
    ) -> None:
        self._path, self._length, self._stop, self._on_bytes = path, length, stop, on_bytes
        self.sent = 0
        try:
            self._file = path.open("rb", buffering=0)
            self._file.seek(start)
        except OSError as error:
            raise ClientError(f"{path}: {error.strerror}") from error

    def __enter__(self) -> FileSlice:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; empty at the end of the slice."""
        if self._stop.is_set():
            raise Stopped
        left = self._length - self.sent
        wanted = left if size < 0 else min(size, left)
        # Inside urllib3 an OSError would be treated as a connection error.
        try:
            data = self._file.read(wanted)
        except OSError as error:
            raise ClientError(f"{self._path}: {error.strerror}") from error
        if wanted and not data:
            raise FileChanged(f"{self._path} has become shorter while it was read")
        self.sent += len(data)
        self._on_bytes(len(data))
        return data


def md5_of(source: FileSlice) -> str:
    """Return the hexadecimal MD5 of the rest of a slice."""
    return _hexdigest(source, hashlib.md5(usedforsecurity=False))


def sha256_of(source: FileSlice) -> str:
    """Return the hexadecimal SHA-256 of the rest of a slice."""
    return _hexdigest(source, hashlib.sha256())


def _hexdigest(source: FileSlice, digest: hashlib._Hash) -> str:
    while block := source.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
