"""Merges live runs of several segments into new segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from image_gateway.protocol.deltas.runs import Run
from image_gateway.protocol.deltas.segment import (
    MAX_EXTENTS,
    MAX_SEGMENT_BYTES,
    Extent,
    encode_segment,
    header_bytes,
)


@dataclass(frozen=True)
class Merged:
    """A new segment, the runs whose data it holds, and where each of them is in it; `segment` is 0 there."""

    body: bytes
    data_start: int
    old: Sequence[Run]
    new: Sequence[Run]


def merge_runs(block_size: int, runs: Sequence[Run], data: Mapping[int, bytes]) -> Iterator[Merged]:
    """Yield segments of at most 8 MiB with the data of these runs.

    Args:
        block_size: In bytes.
        runs: Runs with data, ascending; each of less than half a segment.
        data: The bytes of each run, by its first block.
    """
    group: list[Run] = []
    blocks = 0
    for run in runs:
        size = header_bytes(len(group) + 1) + (blocks + run.length) * block_size
        if group and (size > MAX_SEGMENT_BYTES or len(group) == MAX_EXTENTS):
            yield _merge(block_size, group, data)
            group, blocks = [], 0
        group.append(run)
        blocks += run.length
    if group:
        yield _merge(block_size, group, data)


def _merge(block_size: int, runs: list[Run], data: Mapping[int, bytes]) -> Merged:
    extents = [
        Extent(
            joined[0].block, sum(run.length for run in joined), b"".join(data[run.block] for run in joined)
        )
        for joined in _adjacent(runs)
    ]
    new, offset = [], 0
    for run in runs:
        new.append(Run(run.block, run.length, 0, offset))
        offset += run.length
    return Merged(encode_segment(block_size, extents), header_bytes(len(extents)), runs, new)


def _adjacent(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Yield lists of runs of which each continues the one before."""
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].stop != run.block:
            yield joined
            joined = []
        joined.append(run)
    if joined:
        yield joined
