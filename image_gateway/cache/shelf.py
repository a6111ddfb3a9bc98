"""Blocks as files: found, verified once per process, and put there whole."""

from __future__ import annotations

import os
import time
import zlib
from contextlib import suppress
from io import FileIO

from image_gateway.cache.block import Block
from image_gateway.cache.ledger import Ledger
from image_gateway.cache.place import Place
from image_gateway.cache.room import Room, make_private

ZERO = "zero"
TOUCH_SECONDS = 60
MOST_KNOWN = 65_536
_READ_SIZE = 256 * 1024


class Shelf:
    """Finds blocks without a lock, and puts new ones under the ledger's.

    A file's name ends in the CRC-32 of its bytes, or `zero` for an empty file that stands for zeros. What a
    loss of power tore differs from its name, which is looked at when a process first meets the file.
    """

    def __init__(self, room: Room, ledger: Ledger) -> None:
        self._room = room
        self._ledger = ledger
        self._known: dict[str, str] = {}

    def knows(self, place: Place) -> bool:
        """Whether this process has met the block; it may be gone since."""
        return place.stem in self._known

    def find(self, place: Place, discard: bool = False) -> Block | None:
        """Open a block, None when there is none; `discard` removes torn ones. Raises OSError."""
        stem = place.stem
        checksum = self._known.get(stem)
        if checksum is not None:
            block = _open(f"{stem}-{checksum}", checksum, place.length)
            if block is not None:
                return block
            self._known.pop(stem, None)
        return self._meet(place, discard)

    def _meet(self, place: Place, discard: bool) -> Block | None:
        self._room.prepare()
        for name in _names_of(place):
            path, checksum = f"{place.folder}/{name}", name.partition("-")[2]
            block = _open(path, checksum, place.length)
            if block is not None and _verify(block, checksum):
                self._know(place.stem, checksum)
                return block
            if block is not None:
                block.close()
            if discard:
                # The ledger goes on counting it, which is on the safe side, until it counts anew.
                with suppress(FileNotFoundError):
                    os.unlink(path)
        return None

    def put(self, place: Place, data: bytes) -> Block:
        """Keep a block for all; raises OSError when it cannot be kept."""
        # Compared as a whole: ends at the first byte that is not zero.
        zero = data == bytes(len(data))
        checksum, content = (ZERO, b"") if zero else (f"{zlib.crc32(data):08x}", data)
        with self._ledger.reserving(len(content)):
            file = self._publish(place, checksum, content)
        self._know(place.stem, checksum)
        if zero:
            file.close()
            return Block(place.length, None)
        return Block(place.length, file)

    def _publish(self, place: Place, checksum: str, content: bytes) -> FileIO:
        """Write the one incoming file there can be, as the ledger is held, and give it its name."""
        incoming = self._room.incoming
        with suppress(FileNotFoundError):
            # Of a writer that was killed.
            os.unlink(incoming)
        fd = os.open(incoming, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write(fd, content)
            make_private(place.folder)
            os.rename(incoming, f"{place.stem}-{checksum}")
        except OSError:
            os.close(fd)
            with suppress(OSError):
                os.unlink(incoming)
            raise
        return FileIO(fd, "rb")

    def _know(self, stem: str, checksum: str) -> None:
        # Rarely so many; all are verified again then, which needs no lock.
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[stem] = checksum


def _write(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.lseek(fd, 0, os.SEEK_SET)
    now = time.time_ns()
    os.utime(fd, ns=(now, now))


def _open(path: str, checksum: str, length: int) -> Block | None:
    """Open a file that is there and of the right length."""
    try:
        if checksum == ZERO:
            status = os.stat(path)
            _touch(path, status)
            return Block(length, None) if not status.st_size else None
        file = FileIO(path)
    except FileNotFoundError:
        return None
    status = os.fstat(file.fileno())
    if status.st_size != length:
        file.close()
        return None
    _touch(file.fileno(), status)
    return Block(length, file)


def _touch(file: int | str, status: os.stat_result) -> None:
    """Mark a file as used now; a time far ahead is one of a clock that was wrong."""
    now = time.time()
    if abs(now - status.st_mtime) > TOUCH_SECONDS:
        # It may lie on a disk that became read-only.
        with suppress(OSError):
            os.utime(file, ns=(round(now * 1e9), round(now * 1e9)))


def _names_of(place: Place) -> list[str]:
    try:
        names = os.listdir(place.folder)
    except FileNotFoundError:
        return []
    return [name for name in names if name.startswith(f"{place.name}-")]


def _verify(block: Block, checksum: str) -> bool:
    if block.file is None:
        return True
    found = 0
    try:
        for offset in range(0, block.length, _READ_SIZE):
            found = zlib.crc32(block.read(offset, _READ_SIZE), found)
    except OSError:
        return False
    return f"{found:08x}" == checksum
