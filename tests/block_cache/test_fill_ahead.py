"""Blocks that are filled ahead: there for readers, filled by one alone, and nobody waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.source import BLOCK, GIVEN, Source
from tests.support.background import in_background

MANY = 100 * BLOCK


def fill_ahead(cache: BlockCache, source: Source, index: int) -> bool:
    def fill(start: int, stop: int) -> bytes:
        source.fills.append((GIVEN, index))
        return source.bytes_of(GIVEN, start, stop)

    return cache.fill_ahead(GIVEN, source.size, index, fill, image_id="image-1")


def test_a_block_is_there_for_readers_of_all_processes(folder: Path) -> None:
    source = Source(3 * BLOCK - 5, zeros=frozenset({1}))
    cache = BlockCache(folder, MANY, BLOCK)
    assert [fill_ahead(cache, source, index) for index in (0, 1, 2, 0, 1, 2)] == [True] * 3 + [False] * 3
    for reader in (cache, BlockCache(folder, MANY, BLOCK)):
        assert [source.read(reader, index) for index in range(3)] == [
            source.expected(GIVEN, index) for index in range(3)
        ]
    assert len(source.fills) == 3
    assert list(cache.images()) == ["image-1"]


@pytest.mark.parametrize("index", [-1, 1, 5])
def test_outside_of_the_image_there_is_nothing_to_fill(folder: Path, index: int) -> None:
    source = Source(BLOCK)
    assert not fill_ahead(BlockCache(folder, MANY, BLOCK), source, index)
    assert source.fills == []


def test_nobody_waits_for_a_block_that_is_being_filled(folder: Path) -> None:
    source = Source(BLOCK)
    cache, other = BlockCache(folder, MANY, BLOCK), BlockCache(folder, MANY, BLOCK)
    begun, go_on = threading.Event(), threading.Event()

    def fill(start: int, stop: int) -> bytes:
        begun.set()
        assert go_on.wait(20)
        return source.bytes_of(GIVEN, start, stop)

    reader = in_background(cache.open, GIVEN, BLOCK, 0, fill)
    assert begun.wait(20)
    assert not fill_ahead(cache, source, 0)
    assert not fill_ahead(other, source, 0)
    go_on.set()
    block = reader.result(20)
    assert block is not None
    block.close()
    assert source.fills == []


def test_a_reader_waits_for_a_block_that_is_filled_ahead(folder: Path) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    begun, go_on = threading.Event(), threading.Event()

    def fill(start: int, stop: int) -> bytes:
        begun.set()
        assert go_on.wait(20)
        return source.bytes_of(GIVEN, start, stop)

    ahead = in_background(
        lambda: cache.fill_ahead(GIVEN, BLOCK, 0, fill, image_id="image-1"),
    )
    assert begun.wait(20)
    reader = in_background(source.read, BlockCache(folder, MANY, BLOCK), 0)
    go_on.set()
    assert ahead.result(20)
    assert reader.result(20) == source.expected(GIVEN, 0)
    assert source.fills == []


def test_errors_of_the_store_are_the_callers_and_leave_nothing(folder: Path) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)

    def fail(start: int, stop: int) -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        cache.fill_ahead(GIVEN, BLOCK, 0, fail, image_id="image-1")
    assert not cache.fill_ahead(GIVEN, BLOCK, 0, lambda *_: b"short", image_id="image-1")
    assert fill_ahead(cache, source, 0)


def test_a_disk_that_fails_is_left_alone(folder: Path) -> None:
    folder.write_text("no folder")
    source = Source(BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    assert not fill_ahead(cache, source, 0)
    assert not fill_ahead(cache, source, 0)
    assert source.fills == []
