"""Against a model: the cache is an LRU dictionary that remembers exactly what it was given."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from image_gateway.block_cache import block_cache
from image_gateway.block_cache import block_files as block_files
from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.conftest import Clock
from tests.block_cache.source import BLOCK, Source, bytes_in, files_of

# The last block is short, every fourth is zeros.
SIZE, INDEXES = 12 * BLOCK - 1000, 12
MOST_FILES = 7


class Model(RuleBasedStateMachine):
    """`kept` maps blocks to their bytes on disk, the least recently used first."""

    @initialize(blocks=st.integers(1, 6), odd=st.integers(0, BLOCK - 1))
    def begin(self, blocks: int, odd: int) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.folder = Path(self.directory.name)
        self.bound = blocks * BLOCK + odd
        self.source = Source(SIZE, zeros=frozenset(range(0, INDEXES, 4)))
        self.kept: dict[tuple[str, int], int] = {}
        clock = Clock()
        self.patches = [
            patch.object(block_files, "time", SimpleNamespace(time=clock.time, time_ns=clock.time_ns)),
            patch.object(block_cache, "MIN_FILES", MOST_FILES),
            patch.object(block_cache, "BYTES_PER_FILE", 1 << 40),
        ]
        for each in self.patches:
            each.start()
        self.restart()

    @rule()
    def restart(self) -> None:
        self.cache = BlockCache(self.folder, self.bound, BLOCK)

    @rule(version=st.sampled_from("ab"), index=st.integers(0, INDEXES - 1))
    def open(self, version: str, index: int) -> None:
        expected = self.source.expected(version, index)
        self.source.fills.clear()
        assert self.source.read(self.cache, index, version) == expected
        known = (version, index) in self.kept
        assert len(self.source.fills) == (not known)
        if not known:
            self._make_room(len(expected.strip(b"\0") and expected))
        self.kept[version, index] = self.kept.pop((version, index), len(expected.strip(b"\0") and expected))

    def _make_room(self, size: int) -> None:
        if sum(self.kept.values()) + size <= self.bound and len(self.kept) < MOST_FILES:
            return
        most, files = min(self.bound * 9 // 10, self.bound - size), MOST_FILES * 9 // 10
        while sum(self.kept.values()) > most or len(self.kept) > files:
            del self.kept[next(iter(self.kept))]

    @invariant()
    def is_bounded(self) -> None:
        if hasattr(self, "kept"):
            assert bytes_in(self.folder) == sum(self.kept.values()) <= self.bound
            assert len(files_of(self.folder)) == len(self.kept)

    def teardown(self) -> None:
        for each in self.patches:
            each.stop()
        self.directory.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
