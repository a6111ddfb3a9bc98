"""Blocks that were written and not committed, as data and as runs of zeros."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field

from image_gateway.protocol.deltas.segment import Extent

# Of one extent: its count has 32 bits.
MAX_COUNT = 2**32 - 1


class DirtyBlocks:
    """Newest contents of the written blocks.

    Runs of zeros are kept as runs: a guest that discards a disk of terabytes costs no memory.
    """

    def __init__(self, block_size: int) -> None:
        self._zero_block = bytes(block_size)
        self._block_size = block_size
        # Blocks of `data` win over the runs of zeros, which may contain them.
        self.data: dict[int, bytes] = {}
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.data or self._starts)

    @property
    def data_bytes(self) -> int:
        """Bytes of data, without the runs of zeros."""
        return len(self.data) * self._block_size

    @property
    def zero_runs(self) -> int:
        return len(self._starts)

    @property
    def written_bytes(self) -> int:
        """Bytes of data and of the runs of zeros, those that were written both ways counted twice."""
        zeros = sum(self._stops) - sum(self._starts)
        return self.data_bytes + zeros * self._block_size

    def get(self, block: int) -> bytes | None:
        """Return the contents of a block; None if it was not written."""
        data = self.data.get(block)
        if data is not None:
            return data
        index = bisect_right(self._starts, block) - 1
        return self._zero_block if index >= 0 and block < self._stops[index] else None

    def put(self, block: int, data: bytes) -> None:
        """Write one block."""
        self.data[block] = data

    def zero(self, first: int, stop: int) -> None:
        """Write zeros to the blocks from `first` up to but not including `stop`."""
        for block in blocks_within(self.data, first, stop):
            del self.data[block]
        # Runs that overlap or touch the new one become part of it.
        low, high = bisect_left(self._stops, first), bisect_right(self._starts, stop)
        if low < high:
            first, stop = min(first, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high], self._stops[low:high] = [first], [stop]

    def extents(self) -> list[Extent]:
        """Return the written blocks as ascending extents; blocks of data that are all zero become zeros."""
        runs: list[_Run] = []
        for first, count, data in self._pieces():
            if not (runs and runs[-1].continues(first, count, is_data=data is not None)):
                runs.append(_Run(first, is_data=data is not None))
            runs[-1].count += count
            if data is not None:
                runs[-1].blocks.append(data)
        return [Extent(run.first, run.count, b"".join(run.blocks) if run.is_data else None) for run in runs]

    def _pieces(self) -> list[tuple[int, int, bytes | None]]:
        """Return first block, count and data of single blocks, and of the runs of zeros between them."""
        keys = sorted(self.data)
        pieces = [(key, 1, None if self.data[key] == self._zero_block else self.data[key]) for key in keys]
        for start, stop in zip(self._starts, self._stops, strict=True):
            inside = keys[bisect_left(keys, start) : bisect_left(keys, stop)]
            for low, high in zip([start, *(key + 1 for key in inside)], [*inside, stop], strict=True):
                pieces += [
                    (first, min(MAX_COUNT, high - first), None) for first in range(low, high, MAX_COUNT)
                ]
        return sorted(pieces, key=lambda piece: piece[0])


@dataclass
class _Run:
    """An extent that grows."""

    first: int
    is_data: bool
    count: int = 0
    blocks: list[bytes] = field(default_factory=list)

    def continues(self, first: int, count: int, *, is_data: bool) -> bool:
        adjacent = self.first + self.count == first and self.count + count <= MAX_COUNT
        return adjacent and self.is_data == is_data


def blocks_within(blocks: Collection[int], first: int, stop: int) -> list[int]:
    """Return those of the blocks that lie from `first` up to but not including `stop`."""
    if stop - first < len(blocks):
        return [block for block in range(first, stop) if block in blocks]
    return [block for block in blocks if first <= block < stop]
