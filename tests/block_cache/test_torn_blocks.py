"""What is not exactly what was written is never served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.source import BLOCK, GIVEN, Source, files_of

SIZE = 3 * BLOCK - 5


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


TEARS: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a flipped bit": flip,
    "another checksum": lambda path: path.rename(f"{path}".rpartition("-")[0] + "-00000000"),
    "no checksum": lambda path: path.rename(f"{path}".rpartition("-")[0] + "-"),
    "called zero": lambda path: path.rename(f"{path}".rpartition("-")[0] + "-zero"),
}


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS.keys())
def test_a_torn_block_is_filled_again(folder: Path, tear: Callable[[Path], object], index: int) -> None:
    source = Source(SIZE)
    source.read(BlockCache(folder, 100 * BLOCK, BLOCK), index)
    tear(files_of(folder)[0])
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    for _ in range(2):
        assert source.read(cache, index) == source.expected(GIVEN, index)
    assert len(source.fills) == 2
    assert [path.stat().st_size for path in files_of(folder)] == [len(source.expected(GIVEN, index))]


@pytest.mark.parametrize("name", ["truncated", "empty", "longer", "another checksum", "called zero"])
def test_lengths_and_names_are_looked_at_every_time(folder: Path, name: str) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    source.read(cache, 0)
    TEARS[name](files_of(folder)[0])
    assert source.read(cache, 0) == source.expected(GIVEN, 0)
    assert len(source.fills) == 2


def test_a_marker_of_zeros_with_content_is_none(folder: Path) -> None:
    source = Source(SIZE, zeros=frozenset({0}))
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    source.read(cache, 0)
    files_of(folder)[0].write_bytes(b"x")
    assert source.read(cache, 0) == bytes(BLOCK)
    assert len(source.fills) == 2


def test_what_a_killed_writer_left_is_removed(folder: Path) -> None:
    source = Source(SIZE)
    source.read(BlockCache(folder, 100 * BLOCK, BLOCK), 0)
    left = folder / "v1" / "incoming"
    left.write_bytes(b"x" * 99)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    assert source.read(cache, 1) == source.expected(GIVEN, 1)
    assert not left.exists()
