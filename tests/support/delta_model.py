"""What a delta must be: every generation that it had, as bytes, and what its writer was told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import Commit, Delta
from image_gateway.errors import NotFound
from image_gateway.protocol.deltas.segment import Extent, count_blocks, encode_segment
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.delta_services import DeltaServices
from tests.support.delta_ground import Ground
from tests.support.delta_writing import read_disk

# Gap before it, number of blocks, and what is written, None for zeros.
Pieces = list[tuple[int, int, int | None]]
pieces = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 4), st.one_of(st.none(), st.integers(1, 255))),
    min_size=1,
    max_size=4,
)


@dataclass
class Model:
    """One delta: its disk at each generation, its commits by their keys, and its snapshots."""

    delta_id: str
    block_size: int
    is_fork: bool
    history: dict[int, bytes]
    generation: int = 0
    epoch: int = 0
    is_deleted: bool = False
    writer: Caller | None = None
    # Sessions that are fenced, and the commits that were answered.
    fenced: list[Caller] = field(default_factory=list)
    commits: list[tuple[CommitRequest, int]] = field(default_factory=list)
    snapshots: dict[str, int] = field(default_factory=dict)

    @property
    def disk(self) -> bytes:
        return self.history[self.generation]

    def row(self, ground: Ground) -> Delta:
        """The delta in the catalog."""
        found = ground.catalog.deltas.find(self.delta_id)
        assert found is not None
        return found

    def committed(self, request: CommitRequest, extents: Sequence[Extent], made: Commit) -> None:
        """Note that a commit was answered: its generation is the next one, or the one that it was before."""
        known = {before.idempotency_key: at for before, at in self.commits}
        if request.idempotency_key in known:
            assert made.generation == known[request.idempotency_key]
            return
        assert made.generation == request.generation + 1 == self.generation + 1
        self.history[made.generation] = written(self.disk, self.block_size, extents)
        self.generation = made.generation
        self.commits.append((request, made.generation))

    def kept(self, ground: Ground) -> set[int]:
        """The generations that can be asked for."""
        since = range(self.row(ground).checkpoint_generation, self.generation + 1)
        return {*since, *self.snapshots.values(), *([] if self.is_fork else [0])}

    def check_newest(self, ground: Ground, services: DeltaServices) -> None:
        """The catalog and the newest disk are as the model."""
        row = self.row(ground)
        assert (row.generation, row.epoch) == (self.generation, self.epoch)
        assert read_disk(ground, services, self.delta_id, ground.base) == self.disk

    def check_all(self, ground: Ground, services: DeltaServices) -> None:
        """Each kept generation is as it ever was, and the others are refused."""
        kept = self.kept(ground)
        for generation, disk in self.history.items():
            if generation in kept:
                found = read_disk(ground, services, self.delta_id, ground.base, generation)
                assert found == disk, f"generation {generation} of {self.generation}"
                continue
            try:
                read_disk(ground, services, self.delta_id, ground.base, generation)
            except NotFound:
                continue
            raise AssertionError(f"generation {generation} is not kept, and was read")


def written(disk: bytes, block_size: int, extents: Sequence[Extent]) -> bytes:
    """Return the disk after these extents."""
    changed = bytearray(disk)
    for extent in extents:
        start = extent.block * block_size
        data = extent.data if extent.data is not None else bytes(extent.count * block_size)
        data = data[: len(disk) - start]
        changed[start : start + len(data)] = data
    return bytes(changed)


def request_of(block_size: int, generation: int, extents: Sequence[Extent], key: str) -> CommitRequest:
    """Return the commit of these extents."""
    body = encode_segment(block_size, extents)
    return CommitRequest(generation, key, body, hashlib.sha256(body).hexdigest())


def extents_of(size: int, block_size: int, what: Pieces) -> list[Extent]:
    """Return the extents of what fits on a disk of `size` bytes, at least of its first block."""
    extents, at = [], 0
    for gap, length, byte in what:
        first = min(at + gap, count_blocks(size, block_size))
        at = min(first + length, count_blocks(size, block_size))
        if at > first:
            data = bytes([byte]) * (at - first) * block_size if byte else None
            extents.append(Extent(first, at - first, data))
    return extents or [Extent(0, 1)]
