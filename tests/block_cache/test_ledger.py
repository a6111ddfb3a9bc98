"""The bound holds whatever the capacity has been through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_gateway.block_cache import block_cache
from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.source import BLOCK, Source, bytes_in, files_of

SIZE = 1000 * BLOCK


@pytest.mark.parametrize("content", [None, b"", b"short", bytes(16), b"\xff" * 16, b"x" * 17])
def test_a_process_counts_for_itself_first(folder: Path, content: bytes | None) -> None:
    source = Source(SIZE)
    first = BlockCache(folder, 10 * BLOCK, BLOCK)
    for index in range(10):
        source.read(first, index)
    capacity = folder / "v1" / "capacity"
    capacity.unlink() if content is None else capacity.write_bytes(content)
    source.read(BlockCache(folder, 10 * BLOCK, BLOCK), 10)
    assert bytes_in(folder) == 10 * BLOCK
    assert int.from_bytes(capacity.read_bytes()[:8], "little") == 10 * BLOCK


def test_a_ledger_that_vanishes_is_counted_anew(folder: Path) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, 10 * BLOCK, BLOCK)
    for index in range(30):
        (folder / "v1" / "capacity").unlink(missing_ok=True)
        source.read(cache, index)
        assert bytes_in(folder) <= 10 * BLOCK


def test_a_smaller_bound_makes_room(folder: Path) -> None:
    source = Source(SIZE)
    for index in range(20):
        source.read(BlockCache(folder, 20 * BLOCK, BLOCK), index)
    source.read(BlockCache(folder, 5 * BLOCK, BLOCK), 20)
    assert bytes_in(folder) == 5 * BLOCK


def test_markers_of_zeros_are_bounded_in_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_cache, "MIN_FILES", 20)
    source = Source(SIZE, zeros=frozenset(range(1000)))
    cache = BlockCache(folder, BLOCK, BLOCK)
    for index in range(50):
        source.read(cache, index)
        assert len(files_of(folder)) <= 20
    assert len(files_of(folder)) > 17


def test_empty_folders_go_when_room_is_made(folder: Path) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, 3 * BLOCK, BLOCK)
    os.makedirs(folder / "v1" / "blocks" / "00" / "left" / "0")
    for number in range(20):
        source.read(cache, 0, f"version {number}")
    folders = [path for path in (folder / "v1" / "blocks").rglob("*") if path.is_dir()]
    assert all(any(path.iterdir()) for path in folders)
    assert len(files_of(folder)) <= 3
