"""What a client remembers of unfinished uploads: one small file each in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from image_gateway.client.faults import ClientError
from image_gateway.client.slices import FileFacts


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
