"""The cache's folder on disk: what lies in it, made when it is first needed, and for nobody else to read."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

from image_gateway.cache.locks import FileLock

LAYOUT = "v1"


class Room:
    """Names the files of the cache: `blocks/`, `images/`, the ledger, locks, and the block being written."""

    def __init__(self, folder: Path) -> None:
        # A folder of its own inside the given one, which may be a mount with rights that are not ours to set.
        self._top = f"{folder.absolute()}/{LAYOUT}"
        self.blocks = f"{self._top}/blocks"
        self.images = f"{self._top}/images"
        self.incoming = f"{self._top}/incoming"
        self._ledger = f"{self._top}/ledger"
        self._locks = f"{self._top}/locks"
        self._prepared = False

    def prepare(self) -> None:
        """Make the folders when this process first needs them; raises OSError when it cannot."""
        if not self._prepared:
            self._make()
            self._prepared = True

    def lock_ledger(self) -> FileLock:
        """Open the ledger, which is also the lock over everything that changes the blocks."""
        return self._open_lock(self._ledger)

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
