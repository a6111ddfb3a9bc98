"""FILE.part and FILE.part.json: a download under way, of which only what is surely on the disk is noted."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from image_gateway.client.faults import ClientError
from image_gateway.client.journal import write_whole
from image_gateway.client.spans import Span, merged


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
