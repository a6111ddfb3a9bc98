"""Which cached blocks belong to which image, so that those of a deleted image can be removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

from image_gateway.cache.room import Room, make_private

MOST_NOTED = 4096


class ImageIndex:
    """Empty files `images/<image id>/<version digest>`, one for each version that has had blocks."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._noted: set[str] = set()

    def note(self, image_id: str, folder: str) -> None:
        """Remember that a folder of blocks is of this image; raises OSError.

        Written before the first block: blocks that nobody can find again would outlive their image.
        """
        path = f"{self._room.images}/{image_id}/{_digest_of(folder)}"
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
            yield from os.listdir(self._room.images)

    def has(self, image_id: str) -> bool:
        """Whether an image has, or had, blocks here; costs no lock."""
        return os.path.isdir(f"{self._room.images}/{image_id}")

    def forget(self, image_id: str) -> bool:
        """Remove all blocks of an image; whether there were any. Raises OSError when the disk refuses."""
        folder = f"{self._room.images}/{image_id}"
        try:
            digests = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        found = False
        for digest in digests:
            blocks = f"{self._room.blocks}/{digest[:2]}/{digest[2:]}"
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
