"""Local files of a transfer: slices that are read, and the state from which it resumes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from image_gateway.client.errors import ClientError, FileChanged, Stopped
from image_gateway.client.transfer import OnBytes

BLOCK = 1024 * 1024
# The blocks of common file systems: smaller holes save no space.
HOLE = 4096
Span = tuple[int, int]


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


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans sorted, with overlapping and adjacent ones merged."""
    result: list[Span] = []
    for start, stop in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


def gaps(spans: Iterable[Span], size: int, step: int) -> Iterator[Span]:
    """Yield the parts of 0 to `size` outside all spans, in pieces of at most `step` bytes."""
    position = 0
    for start, stop in [*merged(spans), (size, size)]:
        for piece in range(position, start, step):
            yield piece, min(piece + step, start)
        position = max(position, stop)


@dataclass(frozen=True)
class Remembered:
    """An unfinished upload, with the size and modification time of the file at its start."""

    api: str
    image_id: str
    upload_id: str = field(repr=False)
    size: int
    mtime_ns: int

    @property
    def facts(self) -> FileFacts:
        return FileFacts(self.size, self.mtime_ns)


class Journal:
    """Stores the unfinished upload of one file to one gateway, in a file of mode 0600."""

    def __init__(self, folder: Path, api: str, file: Path) -> None:
        name = hashlib.sha256(f"{api}\n{file.absolute()}".encode()).hexdigest()
        self.path = folder / f"{name}.json"

    def read(self) -> Remembered | None:
        """Return the stored upload; None when the file is missing or malformed."""
        try:
            return Remembered(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return None
        except OSError as error:
            raise ClientError(f"{self.path}: {error.strerror}") from error

    def write(self, remembered: Remembered) -> None:
        """Store an upload, replacing the file atomically."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.path, asdict(remembered))
        except OSError as error:
            raise ClientError(f"{self.path}: {error.strerror}") from error

    def forget(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def write_whole(path: Path, document: Mapping[str, object]) -> None:
    """Write a JSON file of mode 0600 atomically."""
    draft = path.with_name(path.name + ".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
        json.dump(document, target)
        target.flush()
        os.fsync(target.fileno())
    draft.replace(path)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the directory for upload state: below XDG_CACHE_HOME, else ~/.cache."""
    given = environment.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "image-gateway" / "uploads"


@dataclass(frozen=True)
class Version:
    """The version of an image or a delta, identified by its ETag."""

    source_id: str
    etag: str
    size: int


class PartFile:
    """A partial download of one version; a context manager that locks the file.

    Args:
        sparse: Leave holes in the file instead of writing zeros.
    """

    def __init__(self, target: Path, version: Version, *, sparse: bool = False) -> None:
        self.path = target.with_name(target.name + ".part")
        self.spans: list[Span] = []
        self._target, self._version, self._sparse = target, version, sparse
        self._state_path = target.with_name(target.name + ".part.json")
        self._lock = threading.Lock()

    def __enter__(self) -> PartFile:
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.spans = self._read_spans()
            if not self.spans:
                # What another version has left would show where nothing is written.
                os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, self._version.size)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ClientError(f"{self.path} is being written by another download") from None
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def write(self, data: bytes, position: int) -> None:
        """Write all of `data` at `position`."""
        if self._sparse:
            for start, stop in _spans_of_data(data):
                self._write(memoryview(data)[start:stop], position + start)
        else:
            self._write(memoryview(data), position)

    def _write(self, view: memoryview, position: int) -> None:
        while view:
            written = os.pwrite(self._descriptor, view, position)
            view, position = view[written:], position + written

    def note(self, span: Span) -> None:
        """Flush the data to disk, then record `span` as complete."""
        os.fdatasync(self._descriptor)
        with self._lock:
            self.spans = merged([*self.spans, span])
            version = self._version
            write_whole(
                self._state_path,
                {
                    "imageId": version.source_id,
                    "etag": version.etag,
                    "size": version.size,
                    "spans": self.spans,
                },
            )

    def bytes_there(self) -> int:
        """Return the number of downloaded bytes."""
        return sum(stop - start for start, stop in self.spans)

    def distrust(self) -> None:
        """Discard the recorded spans, so that the next download starts over."""
        self._state_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the complete file to its final name."""
        os.fsync(self._descriptor)
        self.path.replace(self._target)
        self._state_path.unlink(missing_ok=True)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read_spans(self) -> list[Span]:
        """Return the completed spans of this version; empty when their state is unusable."""
        try:
            state = json.loads(self._state_path.read_text())
            recorded = Version(state["imageId"], state["etag"], state["size"])
            spans = merged((int(start), int(stop)) for start, stop in state["spans"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []
        # If the .part file was lost but its state survived, the spans would be read as zeros.
        whole = os.fstat(self._descriptor).st_size == self._version.size
        return spans if whole and recorded == self._version else []


def _spans_of_data(data: bytes) -> list[Span]:
    """Return where data are, in multiples of HOLE, outside of which all bytes are zero."""
    zeros = bytes(HOLE)
    pieces = ((start, min(start + HOLE, len(data))) for start in range(0, len(data), HOLE))
    return merged((start, stop) for start, stop in pieces if data[start:stop] != zeros[: stop - start])
