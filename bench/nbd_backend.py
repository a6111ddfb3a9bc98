"""The disk behind both NBD servers of `bench/nbd.py`, in memory."""

from __future__ import annotations

SIZE = 256 * 1024 * 1024
BLOCK = 4096


class BlockDisk:
    """A disk of blocks in a dictionary, as DeltaDisk keeps those that are not committed."""

    def __init__(self) -> None:
        self.size, self.block_size = SIZE, BLOCK
        self._blocks: dict[int, bytes] = {}
        self._zeros = bytes(BLOCK)

    def read(self, offset: int, length: int) -> bytes:
        first, stop = offset // BLOCK, -(-(offset + length) // BLOCK)
        data = b"".join(self._blocks.get(block, self._zeros) for block in range(first, stop))
        start = offset - first * BLOCK
        return data if len(data) == length else data[start : start + length]

    def write(self, offset: int, data: bytes) -> None:
        first, stop = offset // BLOCK, -(-(offset + len(data)) // BLOCK)
        if offset % BLOCK or len(data) % BLOCK:
            whole = bytearray(self.read(first * BLOCK, (stop - first) * BLOCK))
            start = offset - first * BLOCK
            whole[start : start + len(data)] = data
            data = bytes(whole)
        view = memoryview(data)
        for index in range(stop - first):
            self._blocks[first + index] = bytes(view[index * BLOCK : (index + 1) * BLOCK])

    def zero(self, offset: int, length: int) -> None:
        self.write(offset, bytes(length))

    def flush(self) -> None:
        """Do nothing: this disk is lost with its process."""
