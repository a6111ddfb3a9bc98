"""The files that hold blocks: written whole, checked by CRC when read."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from types import TracebackType
from typing import BinaryIO, NamedTuple

from image_gateway.block_cache.cache_directory import CacheDirectory, make_private
from image_gateway.block_cache.capacity import Capacity


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes of an image; `file` is at offset 0 and holds exactly these, None when all of them are zero.

    Whoever got it closes it; the bytes stay readable until then, also when the block is evicted.
    """

    length: int
    file: BinaryIO | None

    def read(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes from `offset` of the block, wherever the file's own position is.

        Fewer only where the block ends. Raises OSError when the disk cannot read them.
        """
        length = max(0, min(length, self.length - offset))
        if self.file is None:
            return bytes(length)
        data = os.pread(self.file.fileno(), length, offset)
        if len(data) < length:
            raise OSError("a cached block became shorter while it was open")
        return data

    def close(self) -> None:
        """Let go of the file; may be called again."""
        if self.file is not None:
            self.file.close()

    def __enter__(self) -> Block:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


ZERO = "zero"
TOUCH_SECONDS = 60
MOST_KNOWN = 65_536
_READ_SIZE = 256 * 1024


FOLDER_BLOCKS = 256


class BlockKey(NamedTuple):
    """A block's bytes [start, stop) of the image; its file is `folder`/`name`-`checksum`."""

    start: int
    stop: int
    folder: str
    name: str

    @property
    def length(self) -> int:
        """Bytes of the block; only the last one of an image is shorter than the others."""
        return self.stop - self.start

    @property
    def stem(self) -> str:
        """The path of the file up to its checksum."""
        return f"{self.folder}/{self.name}"


def block_key(blocks: str, version: str, size: int, block_size: int, index: int) -> BlockKey:
    """Find a block's key under the folder `blocks`; images and block sizes never share a folder."""
    identity = f"{block_size} {size} {version}".encode(errors="surrogatepass")
    digest = hashlib.sha256(identity).hexdigest()
    folder = f"{blocks}/{digest[:2]}/{digest[2:40]}/{index // FOLDER_BLOCKS:x}"
    start = index * block_size
    return BlockKey(start, min(size, start + block_size), folder, f"{index:x}")


class BlockFiles:
    """Finds blocks without a lock, and puts new ones under the capacity's.

    A file's name ends in the CRC-32 of its bytes, or `zero` for an empty file that stands for zeros. What a
    loss of power tore differs from its name, which is looked at when a process first meets the file.
    """

    def __init__(self, directory: CacheDirectory, capacity: Capacity) -> None:
        self._directory = directory
        self._capacity = capacity
        self._known: dict[str, str] = {}

    def knows(self, key: BlockKey) -> bool:
        """Whether this process has met the block; it may be gone since."""
        return key.stem in self._known

    def find(self, key: BlockKey, discard: bool = False) -> Block | None:
        """Open a block, None when there is none; `discard` removes torn ones. Raises OSError."""
        stem = key.stem
        checksum = self._known.get(stem)
        if checksum is not None:
            block = _open(f"{stem}-{checksum}", checksum, key.length)
            if block is not None:
                return block
            self._known.pop(stem, None)
        return self._meet(key, discard)

    def _meet(self, key: BlockKey, discard: bool) -> Block | None:
        self._directory.prepare()
        for name in _names_of(key):
            path, checksum = f"{key.folder}/{name}", name.partition("-")[2]
            block = _open(path, checksum, key.length)
            if block is not None and _verify(block, checksum):
                self._know(key.stem, checksum)
                return block
            if block is not None:
                block.close()
            if discard:
                # The capacity goes on counting it, which is on the safe side, until it counts anew.
                with suppress(FileNotFoundError):
                    os.unlink(path)
        return None

    def put(self, key: BlockKey, data: bytes) -> Block:
        """Keep a block for all; raises OSError when it cannot be kept."""
        # Compared as a whole: ends at the first byte that is not zero.
        zero = data == bytes(len(data))
        checksum, content = (ZERO, b"") if zero else (f"{zlib.crc32(data):08x}", data)
        with self._capacity.reserving(len(content)):
            file = self._publish(key, checksum, content)
        self._know(key.stem, checksum)
        if zero:
            file.close()
            return Block(key.length, None)
        return Block(key.length, file)

    def _publish(self, key: BlockKey, checksum: str, content: bytes) -> FileIO:
        """Write the one incoming file there can be, as the capacity is held, and give it its name."""
        incoming = self._directory.incoming
        with suppress(FileNotFoundError):
            # Of a writer that was killed.
            os.unlink(incoming)
        fd = os.open(incoming, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write(fd, content)
            make_private(key.folder)
            os.rename(incoming, f"{key.stem}-{checksum}")
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


def _names_of(key: BlockKey) -> list[str]:
    try:
        names = os.listdir(key.folder)
    except FileNotFoundError:
        return []
    return [name for name in names if name.startswith(f"{key.name}-")]


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
