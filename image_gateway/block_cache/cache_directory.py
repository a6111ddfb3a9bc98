"""The folder of the cache: its locks, its layout and the index of blocks by image."""

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

WAIT_SECONDS = 30.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02


class FileLock:
    """An exclusive flock, on a descriptor of its own so that threads of one process exclude each other."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def attempts(self) -> Iterator[bool]:
        """Try to take the lock until the caller stops or 30 s are over; yields whether it was taken."""
        deadline = time.monotonic() + WAIT_SECONDS
        pause = _SHORTEST_PAUSE
        while time.monotonic() < deadline:
            yield self._try()
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _try(self) -> bool:
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
        # Unlocked first: a child forked meanwhile has the descriptor too, and would keep the lock.
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)


LAYOUT = "v1"


class CacheDirectory:
    """Names the files of the cache: blocks, image index, byte count, locks, and blocks being written."""

    def __init__(self, folder: Path) -> None:
        # A folder of its own inside the given one, which may be a mount with rights that are not ours to set.
        self._top = f"{folder.absolute()}/{LAYOUT}"
        self.blocks = f"{self._top}/blocks"
        self.images = f"{self._top}/images"
        self.incoming = f"{self._top}/incoming"
        self._capacity = f"{self._top}/capacity"
        self._locks = f"{self._top}/locks"
        self._prepared = False

    def prepare(self) -> None:
        """Make the folders when this process first needs them; raises OSError when it cannot."""
        if not self._prepared:
            self._make()
            self._prepared = True

    def lock_ledger(self) -> FileLock:
        """Open the capacity, which is also the lock over everything that changes the blocks."""
        return self._open_lock(self._capacity)

    def lock_fill(self, stem: str) -> FileLock:
        """Open the lock of a block's fill.

        There are 4096 for all blocks, so none needs to be removed; two blocks rarely share one and wait.
        """
        return self._open_lock(f"{self._locks}/{zlib.crc32(os.fsencode(stem)) & 0xFFF:03x}")

    def _open_lock(self, path: str) -> FileLock:
        try:
            return FileLock(path)
        except FileNotFoundError:
            self._make()
            return FileLock(path)

    def _make(self) -> None:
        make_private(self._top)
        found = os.lstat(self._top)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{self._top} is not a folder of this user")
        # Mounting a volume may have opened it to a group.
        if found.st_mode & 0o077:
            os.chmod(self._top, 0o700)
        make_private(self._locks)
        make_private(self.blocks)


def make_private(folder: str) -> None:
    """Make a folder, and those above that are missing, for this user alone; it may exist."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_private(os.path.dirname(folder))
        make_private(folder)


MOST_NOTED = 4096


class ImageIndex:
    """Empty files `images/<image id>/<version digest>`, one for each version that has had blocks."""

    def __init__(self, directory: CacheDirectory) -> None:
        self._directory = directory
        self._noted: set[str] = set()

    def note(self, image_id: str, folder: str) -> None:
        """Remember that a folder of blocks is of this image; raises OSError.

        Written before the first block: blocks that nobody can find again would outlive their image.
        """
        path = f"{self._directory.images}/{image_id}/{_digest_of(folder)}"
        if path in self._noted and os.path.exists(path):
            return
        make_private(os.path.dirname(path))
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        # One for each image read by this process; all are written again then, which is harmless.
        if len(self._noted) >= MOST_NOTED:
            self._noted.clear()
        self._noted.add(path)

    def images(self) -> Iterator[str]:
        """Yield the ids of images that have, or had, blocks here."""
        with suppress(FileNotFoundError):
            yield from os.listdir(self._directory.images)

    def has(self, image_id: str) -> bool:
        """Whether an image has, or had, blocks here; costs no lock."""
        return os.path.isdir(f"{self._directory.images}/{image_id}")

    def forget(self, image_id: str) -> bool:
        """Remove all blocks of an image; whether there were any. Raises OSError when the disk refuses."""
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
        # A reader that began before the deletion may have noted it again.
        with suppress(OSError):
            os.rmdir(folder)
        return found


def _digest_of(folder: str) -> str:
    """The digest of a version, of which blocks/<2 digits>/<the rest>/<group> is a folder."""
    version = os.path.dirname(folder)
    return os.path.basename(os.path.dirname(version)) + os.path.basename(version)
