"""Boot traces: the blocks of a disk that a boot reads, in the order of their first reads."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from image_gateway.protocol.ranges import ByteRange

BLOCK_SIZE = 64 * 1024
# 4 GiB. What a boot reads after them is left out.
MAX_BLOCKS = 65_536


class BadTrace(ValueError):
    """The text is not that of a boot trace."""


@dataclass(frozen=True)
class BootTrace:
    """Blocks of 64 KiB in order, as ranges (first block, number of blocks) that do not overlap."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def block_count(self) -> int:
        return sum(count for _, count in self.ranges)

    def bytes_of(self, size: int) -> int:
        """Return how many bytes of a disk of `size` bytes the blocks have; only its last one is shorter."""
        return sum(each.length for each in self.byte_ranges(size))

    def byte_ranges(self, size: int, most: int | None = None) -> Iterator[ByteRange]:
        """Yield what to read of a disk of `size` bytes, in order; of at most `most` blocks."""
        left = self.block_count if most is None else most
        for first, count in self.ranges:
            start, stop = first * BLOCK_SIZE, min(size, (first + min(count, left)) * BLOCK_SIZE)
            if start < stop:
                yield ByteRange(start, stop)
            left = max(0, left - count)

    def blocks(self, block_size: int, size: int, most: int | None = None) -> list[int]:
        """Return the numbers of the blocks of another size, in order and without repeats.

        Args:
            block_size: Bytes of a block.
            size: Bytes of the disk; no block begins at or beyond its end.
            most: The maximum length of the list.
        """
        found: dict[int, None] = {}
        for each in self.byte_ranges(size):
            numbers = range(each.start // block_size, (each.stop - 1) // block_size + 1)
            if most is not None:
                if len(found) >= most:
                    break
                # Enough, even if all that were found come again.
                numbers = numbers[: most + len(found)]
            found |= dict.fromkeys(numbers)
        return list(islice(found, most))

    def as_text(self) -> str:
        """Return the ranges as JSON: `[[first, count], …]`."""
        return json.dumps(self.ranges, separators=(",", ":"))

    @staticmethod
    def of_text(text: str) -> BootTrace:
        """Return the trace of a text that `as_text` made; raises BadTrace."""
        try:
            ranges = tuple((first, count) for first, count in json.loads(text))
        except (ValueError, TypeError) as error:
            raise BadTrace("not a list of pairs") from error
        if not all(_is_range(first, count) for first, count in ranges):
            raise BadTrace("not all of the pairs are ranges of blocks")
        return BootTrace(ranges)


def trace_reads(reads: Iterable[tuple[int, int]], most: int = MAX_BLOCKS) -> BootTrace:
    """Return the trace of reads of bytes [start, stop), in order; of at most `most` blocks."""
    numbers = (
        number for start, stop in reads for number in range(start // BLOCK_SIZE, -(-stop // BLOCK_SIZE))
    )
    ranges: list[list[int]] = []
    for number in islice(_without_repeats(numbers), most):
        if ranges and number == sum(ranges[-1]):
            ranges[-1][1] += 1
        else:
            ranges.append([number, 1])
    return BootTrace(tuple((first, count) for first, count in ranges))


class BlockOrder:
    """Blocks in the order of a trace, and the position of each; 24 bytes of memory for each block."""

    def __init__(self, blocks: Sequence[int]) -> None:
        self._blocks = array("q", blocks)
        positions = sorted(range(len(blocks)), key=blocks.__getitem__)
        self._positions = array("q", positions)
        self._sorted = array("q", (blocks[position] for position in positions))

    def __len__(self) -> int:
        return len(self._blocks)

    def block_at(self, position: int) -> int:
        return self._blocks[position]

    def position_of(self, block: int) -> int | None:
        """Return the position of a block; None when the trace does not have it."""
        found = bisect_left(self._sorted, block)
        if found == len(self._sorted) or self._sorted[found] != block:
            return None
        return self._positions[found]


def _without_repeats(numbers: Iterable[int]) -> Iterator[int]:
    seen: set[int] = set()
    for number in numbers:
        if number not in seen:
            seen.add(number)
            yield number


def _is_range(first: object, count: object) -> bool:
    return type(first) is int and type(count) is int and first >= 0 and 1 <= count <= MAX_BLOCKS
