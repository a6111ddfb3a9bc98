"""Runs: which blocks of a disk were written, and where each of them is stored, as compact columns."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from operator import itemgetter
from typing import NamedTuple

from image_gateway.protocol.deltas.segment import Table

# In the column of offsets: the run has no data, it is all zeros.
ZERO = 0xFFFFFFFF
BYTES_PER_RUN = 20


class Run(NamedTuple):
    """`length` blocks from `block` on, in a segment at `offset` blocks of its data, or zeros at `ZERO`.

    `segment` is a number that the map resolves.
    """

    block: int
    length: int
    segment: int
    offset: int

    @property
    def stop(self) -> int:
        return self.block + self.length

    @property
    def is_zero(self) -> bool:
        return self.offset == ZERO

    def in_segment(self, number: int) -> Run:
        """Return the run with another number of its segment."""
        return Run(self.block, self.length, number, self.offset)

    def part(self, first: int, stop: int) -> Run:
        """Return the run's blocks from `first` to before `stop`, as far as it has them."""
        begin, end = max(first, self.block), min(stop, self.stop)
        offset = ZERO if self.is_zero else self.offset + begin - self.block
        return Run(begin, end - begin, self.segment, offset)


class Runs:
    """An immutable, ascending sequence of runs that do not overlap; 20 bytes each."""

    __slots__ = ("_blocks", "_counts", "_live", "_offsets", "_segments")

    def __init__(self) -> None:
        self._blocks = array("Q")
        self._counts = array("I")
        self._segments = array("I")
        self._offsets = array("I")
        self._live: dict[int, int] | None = None

    @classmethod
    def of_tables(cls, tables: Sequence[tuple[int, Table]]) -> Runs:
        """Return the runs of segments by their numbers and tables, of which a later one wins."""
        age = {number: -order for order, (number, _) in enumerate(tables)}
        written = [run for number, table in tables for run in _runs_of(table, number)]
        written.sort(key=itemgetter(0))
        runs, overlapping, end = cls(), list[Run](), 0
        for run in written:
            block, length, _, _ = run
            if block >= end:
                runs._append_overlapping(overlapping, age)
                overlapping, end = [], block
            overlapping.append(run)
            end = max(end, block + length)
        runs._append_overlapping(overlapping, age)
        return runs

    @classmethod
    def from_bytes(cls, data: memoryview, count: int) -> Runs:
        """Return the runs of `as_bytes`; raises ValueError if there are not `count` of them."""
        runs, at = cls(), 0
        for column in runs._columns():
            size = count * column.itemsize
            column.frombytes(data[at : at + size])
            at += size
            if sys.byteorder == "big":
                column.byteswap()
        if at != len(data) or any(len(column) != count for column in runs._columns()):
            raise ValueError(f"{len(data)} bytes are not {count} runs")
        return runs

    def as_bytes(self) -> bytes:
        """Return the columns one after the other, little-endian."""
        columns = self._columns()
        if sys.byteorder == "big":
            columns = tuple(array(column.typecode, column) for column in columns)
            for column in columns:
                column.byteswap()
        return b"".join(column.tobytes() for column in columns)

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, index: int) -> Run:
        return Run(self._blocks[index], self._counts[index], self._segments[index], self._offsets[index])

    def find(self, first: int, stop: int) -> Iterator[Run]:
        """Yield the parts of runs within the blocks from `first` to before `stop`, ascending."""
        index = self._first_reaching(first)
        while first < stop and index < len(self) and self._blocks[index] < stop:
            run = self[index]
            yield run if run.block >= first and run.stop <= stop else run.part(first, stop)
            index += 1

    def after(self, block: int) -> Iterator[Run]:
        """Yield the runs, or the end of one, from `block` on."""
        for index in range(self._first_reaching(block), len(self)):
            run = self[index]
            yield run.part(block, run.stop)

    def overlaid(self, newer: Runs) -> Runs:
        """Return these runs with those of `newer` in their place where both have a block.

        Takes time for each newer run; those between them are copied in one piece.
        """
        if not len(newer):
            return self
        if not len(self):
            return newer
        merged, index, position = Runs(), 0, 0
        for block, length, segment, offset in zip(*newer._columns(), strict=True):
            index = merged._copy(self, index, position, block)
            merged._append(block, length, segment, offset)
            position = block + length
        merged._copy(self, index, position, None)
        return merged

    def moved(self, old: Sequence[Run], new: Sequence[Run]) -> Runs:
        """Return these runs with each of `old` replaced by its counterpart in `new`, where it still stands.

        Args:
            old: Runs as they were when their data was copied, ascending.
            new: The same blocks at their new places, one run for each of `old`.
        """
        replacing = Runs()
        for before, after in zip(old, new, strict=True):
            for now in self.find(before.block, before.stop):
                if now == before.part(now.block, now.stop):
                    replacing._append(*after.part(now.block, now.stop))
        return self.overlaid(replacing)

    def live_blocks(self) -> Mapping[int, int]:
        """Return the number of blocks with data by segment; 0 for a segment that has only zeros."""
        if self._live is None:
            live: dict[int, int] = {}
            for segment, length, offset in zip(self._segments, self._counts, self._offsets, strict=True):
                live[segment] = live.get(segment, 0) + (0 if offset == ZERO else length)
            self._live = live
        return self._live

    def segments(self) -> set[int]:
        """Return the numbers of all segments that runs are in."""
        return set(self._segments)

    def with_data(self, segments: Collection[int]) -> Iterator[Run]:
        """Yield the runs that have data in segments with these numbers, ascending."""
        for index, segment in enumerate(self._segments):
            if segment in segments and self._offsets[index] != ZERO:
                yield self[index]

    def _columns(self) -> tuple[array[int], ...]:
        return self._blocks, self._counts, self._segments, self._offsets

    def _append(self, block: int, length: int, segment: int, offset: int) -> None:
        """Append a run behind all others; one that continues the last is joined to it."""
        if self._blocks and self._segments[-1] == segment and self._is_continued(block, length, offset):
            self._counts[-1] += length
            return
        self._blocks.append(block)
        self._counts.append(length)
        self._segments.append(segment)
        self._offsets.append(offset)

    def _append_overlapping(self, runs: Sequence[Run], age: Mapping[int, int]) -> None:
        """Append runs that ascend and leave no block between them out; the least in `age` wins."""
        if len(runs) == 1:
            self._append(*runs[0])
            return
        # Runs that have begun, the newest first.
        begun, at = list[tuple[int, Run]](), 0
        for run in runs:
            at = self._append_newest(begun, at, run.block)
            heappush(begun, (age[run.segment], run))
        self._append_newest(begun, at, None)

    def _append_newest(self, begun: list[tuple[int, Run]], at: int, stop: int | None) -> int:
        """Append the newest of the runs that have begun, from `at` to before `stop`; return the end."""
        while begun and (stop is None or at < stop):
            newest = begun[0][1]
            end = newest.stop if stop is None else min(newest.stop, stop)
            if end > at:
                self._append(*newest.part(at, end))
                at = end
            if newest.stop <= at:
                heappop(begun)
        return at if stop is None else stop

    def _is_continued(self, block: int, length: int, offset: int) -> bool:
        """Return whether a run of the last run's segment can be joined to it."""
        before, last = self._counts[-1], self._offsets[-1]
        if self._blocks[-1] + before != block or before + length >= ZERO:
            return False
        return offset == ZERO if last == ZERO else offset == last + before

    def _copy(self, source: Runs, index: int, first: int, stop: int | None) -> int:
        """Append the blocks of `source` from `first` to before `stop`, or to the end.

        Args:
            index: A run of `source` before which all end by `first`.

        Returns:
            Such an index for what follows from `stop` on.
        """
        blocks, counts = source._blocks, source._counts
        if index < len(blocks) and blocks[index] + counts[index] <= first:
            index = source._first_reaching(first, index)
        if index == len(blocks) or first == stop or (stop is not None and blocks[index] >= stop):
            return index
        end = len(blocks) if stop is None else bisect_left(blocks, stop, index + 1)
        skipped = first - blocks[index]
        if skipped > 0:
            length, segment, offset = counts[index], source._segments[index], source._offsets[index]
            self._append(first, length - skipped, segment, offset if offset == ZERO else offset + skipped)
            index += 1
        if index < end:
            for column, other in zip(self._columns(), source._columns(), strict=True):
                column.extend(other[index:end])
        beyond = 0 if stop is None else blocks[end - 1] + counts[end - 1] - stop
        if beyond <= 0:
            return end
        self._counts[-1] -= beyond
        return end - 1

    def _first_reaching(self, block: int, low: int = 0) -> int:
        """Return the index of the first run, from the index `low` on, that ends behind `block`."""
        index = bisect_right(self._blocks, block, low)
        return index - 1 if index and self._blocks[index - 1] + self._counts[index - 1] > block else index


def _runs_of(table: Table, segment: int) -> Iterator[Run]:
    """Yield a run for each entry of a segment's table."""
    for entry in table.entries:
        offset = ZERO if entry.data_start is None else entry.data_start
        yield Run(entry.block, entry.count, segment, offset)
