"""A store for the cache to fill from, and the looks behind its curtain that tests need."""

from __future__ import annotations

import random
from pathlib import Path

from image_gateway.block_cache.block_cache import BlockCache

BLOCK = 4096
GIVEN = 'image-1/v1 "etag"'


class Source:
    """Images of random bytes by version, with all-zero blocks at `zeros`; counts what was read."""

    def __init__(self, size: int, zeros: frozenset[int] = frozenset()) -> None:
        self.size = size
        self._zeros = zeros
        self.fills: list[tuple[str, int]] = []

    def bytes_of(self, version: str, start: int, stop: int) -> bytes:
        index = start // BLOCK
        if index in self._zeros:
            return bytes(stop - start)
        return random.Random(f"{version} {index}").randbytes(stop - start)

    def expected(self, version: str, index: int) -> bytes:
        return self.bytes_of(version, index * BLOCK, min(self.size, (index + 1) * BLOCK))

    def read(self, cache: BlockCache, index: int, version: str = GIVEN) -> bytes | None:
        """Open a block, read all of it through its file, close it."""

        def fill(start: int, stop: int) -> bytes:
            self.fills.append((version, index))
            return self.bytes_of(version, start, stop)

        block = cache.open(version, self.size, index, fill)
        if block is None:
            return None
        with block:
            return bytes(block.length) if block.file is None else block.file.read()


def files_of(folder: Path) -> list[Path]:
    """The files of all blocks, all-zero ones too."""
    return [path for path in (folder / "v1" / "blocks").rglob("*") if path.is_file()]


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_of(folder))
