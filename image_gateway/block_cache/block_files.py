"""Stores blocks in files, which are written atomically and verified by CRC-32."""

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
    """Bytes of an image. `file` contains exactly these bytes, or is None if all of them are zero.

    The receiver must close it. The bytes stay readable until then, even if the block is evicted.
    """

    length: int
    file: BinaryIO | None

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`, independent of the file position.

        Shorter only at the end of the block. Raises OSError if the disk cannot read them.
        """
        length = max(0, min(length, self.length - offset))
        if self.file is None:
            return bytes(length)
        data = os.pread(self.file.fileno(), length, offset)
        if len(data) < length:
            raise OSError("a cached block was truncated while it was open")
        return data

    def close(self) -> None:
        """Close the file. May be called repeatedly."""
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
MAX_KNOWN_BLOCKS = 65_536
_VERIFY_READ_SIZE = 256 * 1024


BLOCKS_PER_FOLDER = 256


class BlockKey(NamedTuple):
    """Identifies bytes [start, stop) of an image; the file is `folder`/`name`-`checksum`."""

    start: int
    stop: int
    folder: str
    name: str

    @property
    def length(self) -> int:
        """Bytes of the block; only the last block of an image may be shorter."""
        return self.stop - self.start

    @property
    def stem(self) -> str:
        """The path of the file without its checksum."""
        return f"{self.folder}/{self.name}"


def block_key(blocks: str, version: str, size: int, block_size: int, index: int) -> BlockKey:
    """Return a block's key under the folder `blocks`. Image versions and block sizes never share a folder."""
    identity = f"{block_size} {size} {version}".encode(errors="surrogatepass")
    digest = hashlib.sha256(identity).hexdigest()
    folder = f"{blocks}/{digest[:2]}/{digest[2:40]}/{index // BLOCKS_PER_FOLDER:x}"
    start = index * block_size
    return BlockKey(start, min(size, start + block_size), folder, f"{index:x}")


class BlockFiles:
    """Finds blocks without a lock, and stores new ones under the capacity lock.

    The file name ends in the CRC-32 of the content, or in `zero` for an empty file that represents zeros. The
    CRC is verified when a process first opens a file, which detects files torn by a power failure.
    """

    def __init__(self, directory: CacheDirectory, capacity: Capacity) -> None:
        self._directory = directory
        self._capacity = capacity
        self._known: dict[str, str] = {}

    def knows(self, key: BlockKey) -> bool:
        """Return whether this process has opened the block before; it may have been evicted since."""
        return key.stem in self._known

    def find(self, key: BlockKey, discard: bool = False) -> Block | None:
        """Return the block or None; `discard` deletes torn files. Raises OSError."""
        stem = key.stem
        checksum = self._known.get(stem)
        if checksum is not None:
            block = _open(f"{stem}-{checksum}", checksum, key.length)
            if block is not None:
                return block
            self._known.pop(stem, None)
        return self._find_and_verify(key, discard)

    def _find_and_verify(self, key: BlockKey, discard: bool) -> Block | None:
        self._directory.prepare()
        for name in _file_names(key):
            path, checksum = f"{key.folder}/{name}", name.partition("-")[2]
            block = _open(path, checksum, key.length)
            if block is not None and _verify(block, checksum):
                self._remember(key.stem, checksum)
                return block
            if block is not None:
                block.close()
            if discard:
                # The capacity counts it until the next recount; overestimating is safe.
                with suppress(FileNotFoundError):
                    os.unlink(path)
        return None

    def put(self, key: BlockKey, data: bytes) -> Block:
        """Store a block for all processes. Raises OSError if that fails."""
        # This comparison stops at the first byte that is not zero.
        zero = data == bytes(len(data))
        checksum, content = (ZERO, b"") if zero else (f"{zlib.crc32(data):08x}", data)
        with self._capacity.reserving(len(content)):
            file = self._publish(key, checksum, content)
        self._remember(key.stem, checksum)
        if zero:
            file.close()
            return Block(key.length, None)
        return Block(key.length, file)

    def _publish(self, key: BlockKey, checksum: str, content: bytes) -> FileIO:
        """Write the content to the single incoming file, which the capacity lock protects, and rename it."""
        incoming = self._directory.incoming
        with suppress(FileNotFoundError):
            # Left over by a killed process.
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

    def _remember(self, stem: str, checksum: str) -> None:
        # Rarely reached; afterwards all blocks are verified again, which needs no lock.
        if len(self._known) >= MAX_KNOWN_BLOCKS:
            self._known.clear()
        self._known[stem] = checksum


def _write(fd: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(fd, remaining) :]
    os.lseek(fd, 0, os.SEEK_SET)
    now = time.time_ns()
    os.utime(fd, ns=(now, now))


def _open(path: str, checksum: str, length: int) -> Block | None:
    """Open a file, or return None if it is missing or has the wrong length."""
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
    """Update the modification time used for LRU; a time in the far future comes from a wrong clock."""
    now = time.time()
    if abs(now - status.st_mtime) > TOUCH_SECONDS:
        # The disk may have become read-only.
        with suppress(OSError):
            os.utime(file, ns=(round(now * 1e9), round(now * 1e9)))


def _file_names(key: BlockKey) -> list[str]:
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
        for offset in range(0, block.length, _VERIFY_READ_SIZE):
            found = zlib.crc32(block.read(offset, _VERIFY_READ_SIZE), found)
    except OSError:
        return False
    return f"{found:08x}" == checksum
