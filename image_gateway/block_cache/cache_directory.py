"""The cache's folder: layout, file locks and the index of blocks by image."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

LOCK_TIMEOUT_SECONDS = 30.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02


class FileLock:
    """An exclusive flock with its own descriptor, so that threads of one process exclude each other, too."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def attempts(self) -> Iterator[bool]:
        """Yield whether the lock was acquired, until the caller stops or 30 s have passed."""
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        pause = _SHORTEST_PAUSE
        while time.monotonic() < deadline:
            yield self._try_acquire()
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _try_acquire(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Unlock before closing: a child that was forked meanwhile shares the descriptor and keeps the lock.
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)


LAYOUT = "v1"


class CacheDirectory:
    """Paths of the cache's files: blocks, image index, byte count, locks, and the block being written."""

    def __init__(self, folder: Path) -> None:
        # Use a subfolder: the given folder may be a mount whose permissions we may not change.
        self._top = f"{folder.absolute()}/{LAYOUT}"
        self.blocks = f"{self._top}/blocks"
        self.images = f"{self._top}/images"
        self.incoming = f"{self._top}/incoming"
        self.capacity = f"{self._top}/capacity"
        self._locks = f"{self._top}/locks"
        self._prepared = False

    def prepare(self) -> None:
        """Create the folders on first use in this process. Raises OSError."""
        if not self._prepared:
            self._create_folders()
            self._prepared = True

    def lock_capacity(self) -> FileLock:
        """Open the byte count's file, whose lock protects all changes to the blocks."""
        return self._open_lock(self.capacity)

    def lock_fill(self, stem: str) -> FileLock:
        """Open the lock for filling a block.

        All blocks share 4096 lock files, so none has to be deleted. Two blocks rarely wait for the same lock.
        """
        return self._open_lock(f"{self._locks}/{zlib.crc32(os.fsencode(stem)) & 0xFFF:03x}")

    def _open_lock(self, path: str) -> FileLock:
        try:
            return FileLock(path)
        except FileNotFoundError:
            self._create_folders()
            return FileLock(path)

    def _create_folders(self) -> None:
        make_private(self._top)
        found = os.lstat(self._top)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{self._top} is not a folder owned by this user")
        # Mounting a volume (fsGroup) may have added group permissions.
        if found.st_mode & 0o077:
            os.chmod(self._top, 0o700)
        make_private(self._locks)
        make_private(self.blocks)


def make_private(folder: str) -> None:
    """Create a folder and its missing parents with mode 0700. An existing folder is not an error."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_private(os.path.dirname(folder))
        make_private(folder)


MAX_REMEMBERED_PATHS = 4096


class ImageIndex:
    """Empty files `images/<image id>/<version digest>`, one for each version that has had cached blocks."""

    def __init__(self, directory: CacheDirectory) -> None:
        self._directory = directory
        self._remembered: set[str] = set()

    def add(self, image_id: str, folder: str) -> None:
        """Record that a folder of blocks belongs to this image. Raises OSError.

        Call this before the first block is written: blocks that are not in the index would outlive their
        image.
        """
        path = f"{self._directory.images}/{image_id}/{_version_digest(folder)}"
        if path in self._remembered and os.path.exists(path):
            return
        make_private(os.path.dirname(path))
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        # Rarely reached; afterwards the files are created again, which is harmless.
        if len(self._remembered) >= MAX_REMEMBERED_PATHS:
            self._remembered.clear()
        self._remembered.add(path)

    def images(self) -> Iterator[str]:
        """Yield the ids of images that have, or had, cached blocks."""
        with suppress(FileNotFoundError):
            yield from os.listdir(self._directory.images)

    def has(self, image_id: str) -> bool:
        """Return whether an image has, or had, cached blocks; takes no lock."""
        return os.path.isdir(f"{self._directory.images}/{image_id}")

    def forget(self, image_id: str) -> bool:
        """Remove all blocks of an image. Return whether there were any. Raises OSError."""
        folder = f"{self._directory.images}/{image_id}"
        try:
            digests = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        found = False
        for digest in digests:
            blocks = f"{self._directory.blocks}/{digest[:2]}/{digest[2:]}"
            with suppress(FileNotFoundError):
                shutil.rmtree(blocks)
                found = True
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{digest}")
        # A reader that started before the deletion may have added it again.
        with suppress(OSError):
            os.rmdir(folder)
        return found


def _version_digest(folder: str) -> str:
    """Return the version digest of a folder `blocks/<2 digits>/<the rest>/<group>`."""
    version = os.path.dirname(folder)
    return os.path.basename(os.path.dirname(version)) + os.path.basename(version)
