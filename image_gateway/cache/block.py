"""A block of an image as the cache hands it out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO


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
