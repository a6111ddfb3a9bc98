"""Files beside an upload or download from which it resumes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from image_gateway.client.errors import ClientError
from image_gateway.client.file_slices import FileFacts

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in the fewest (start, stop), in order."""
    result: list[Span] = []
    for start, stop in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


def gaps(spans: Iterable[Span], size: int, step: int) -> Iterator[Span]:
    """What of 0 … `size` no span covers, in pieces of at most `step` bytes."""
    position = 0
    for start, stop in [*merged(spans), (size, size)]:
        for piece in range(position, start, step):
            yield piece, min(piece + step, start)
        position = max(position, stop)


@dataclass(frozen=True)
class Remembered:
    """An unfinished upload, and the size and modification time of its file when it began."""

    api: str
    image_id: str
    upload_id: str = field(repr=False)
    size: int
    mtime_ns: int

    @property
    def facts(self) -> FileFacts:
        return FileFacts(self.size, self.mtime_ns)


class Journal:
    """One file's memory of its unfinished upload to one gateway; readable by its owner alone."""

    def __init__(self, folder: Path, api: str, file: Path) -> None:
        name = hashlib.sha256(f"{api}\n{file.absolute()}".encode()).hexdigest()
        self.path = folder / f"{name}.json"

    def read(self) -> Remembered | None:
        """Return what is remembered; nothing when the file is missing or makes no sense."""
        try:
            return Remembered(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return None
        except OSError as error:
            raise ClientError(f"{self.path}: {error.strerror}") from error

    def write(self, remembered: Remembered) -> None:
        """Replace what is remembered, whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.path, asdict(remembered))
        except OSError as error:
            raise ClientError(f"{self.path}: {error.strerror}") from error

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def write_whole(path: Path, document: Mapping[str, object]) -> None:
    """Write a JSON file of mode 0600 so that a crash leaves the old or the new one."""
    draft = path.with_name(path.name + ".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as target:
        json.dump(document, target)
        target.flush()
        os.fsync(target.fileno())
    draft.replace(path)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where uploads are remembered: below XDG_CACHE_HOME, else ~/.cache."""
    given = environment.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "image-gateway" / "uploads"


@dataclass(frozen=True)
class Version:
    """The very bytes that are downloaded."""

    image_id: str
    etag: str
    size: int


class PartFile:
    """The unfinished copy of one version; a context manager that keeps every other download out."""

    def __init__(self, target: Path, version: Version) -> None:
        self.path = target.with_name(target.name + ".part")
        self.spans: list[Span] = []
        self._target, self._version = target, version
        self._notes = target.with_name(target.name + ".part.json")
        self._lock = threading.Lock()

    def __enter__(self) -> PartFile:
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.spans = self._read_notes()
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
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, position)
            view, position = view[written:], position + written

    def note(self, span: Span) -> None:
        """Bring what was written to the disk, and only then note that `span` is there."""
        os.fdatasync(self._descriptor)
        with self._lock:
            self.spans = merged([*self.spans, span])
            version = self._version
            write_whole(
                self._notes,
                {
                    "imageId": version.image_id,
                    "etag": version.etag,
                    "size": version.size,
                    "spans": self.spans,
                },
            )

    def bytes_there(self) -> int:
        return sum(stop - start for start, stop in self.spans)

    def distrust(self) -> None:
        """Forget what is there, so that the next download begins anew."""
        self._notes.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the whole file its name."""
        os.fsync(self._descriptor)
        self.path.replace(self._target)
        self._notes.unlink(missing_ok=True)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read_notes(self) -> list[Span]:
        """Return the spans of this version that are there; none when the notes are of another or of none."""
        try:
            notes = json.loads(self._notes.read_text())
            noted = Version(notes["imageId"], notes["etag"], notes["size"])
            spans = merged((int(start), int(stop)) for start, stop in notes["spans"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []
        # A lost .part with surviving notes would otherwise leave holes of zeros.
        whole = os.fstat(self._descriptor).st_size == self._version.size
        return spans if whole and noted == self._version else []
