"""Blocks are filled once, served as they are, and let go in the order they were last used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.source import BLOCK, GIVEN, Source, bytes_in, files_of

MANY = 100 * BLOCK


def refuse(start: int, stop: int) -> bytes:
    raise AssertionError(f"filled {start} to {stop}")


@pytest.mark.parametrize(
    ("size", "index", "length"),
    [
        (BLOCK, 0, BLOCK),
        (BLOCK + 1, 0, BLOCK),
        (BLOCK + 1, 1, 1),
        (1, 0, 1),
        (300 * BLOCK - 7, 299, BLOCK - 7),
        (300 * BLOCK, 256, BLOCK),
    ],
)
def test_a_block_is_filled_once(folder: Path, size: int, index: int, length: int) -> None:
    source = Source(size)
    for cache in (BlockCache(folder, MANY, BLOCK), BlockCache(folder, MANY, BLOCK)):
        for _ in range(2):
            data = source.read(cache, index)
            assert data == source.expected(GIVEN, index)
            assert len(data) == length
    assert source.fills == [(GIVEN, index)]


@pytest.mark.parametrize(("size", "index"), [(0, 0), (0, 3), (BLOCK, 1), (BLOCK, -1)])
def test_outside_of_the_image_there_is_nothing(folder: Path, size: int, index: int) -> None:
    block = BlockCache(folder, MANY, BLOCK).open(GIVEN, size, index, refuse)
    assert block is not None
    assert (block.length, block.file, block.read(0, 10)) == (0, None, b"")


@pytest.mark.parametrize("size", [BLOCK, BLOCK - 1])
def test_zeros_take_no_space_and_no_call(folder: Path, size: int) -> None:
    source = Source(size, zeros=frozenset({0}))
    assert source.read(BlockCache(folder, MANY, BLOCK), 0) == bytes(size)
    for cache in (again := BlockCache(folder, MANY, BLOCK), again):
        block = cache.open(GIVEN, size, 0, refuse)
        assert block is not None
        assert (block.length, block.file) == (size, None)
        assert block.read(size - 5, 100) == bytes(5)
        block.close()
    assert bytes_in(folder) == 0
    assert len(files_of(folder)) == 1


@pytest.mark.parametrize(
    ("offset", "length"), [(0, BLOCK), (0, 0), (1, 2), (BLOCK - 1, 5), (BLOCK, 1), (BLOCK + 9, 1)]
)
def test_reading_a_part_leaves_the_file_where_it_was(folder: Path, offset: int, length: int) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    for _ in range(2):
        with cache.open(GIVEN, BLOCK, 0, lambda start, stop: source.expected(GIVEN, 0)) as block:
            assert block.read(offset, length) == source.expected(GIVEN, 0)[offset : offset + length]
            assert block.file.tell() == 0
            assert block.file.mode == "rb"
        block.close()
        assert block.file.closed


@pytest.mark.parametrize("version", ["", "../../x", "a/b\0c", "\udcff\ud800", "é" * 5000])
def test_a_version_may_be_any_text(folder: Path, version: str) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    with cache.open(version, BLOCK, 0, lambda start, stop: source.expected(GIVEN, 0)) as block:
        assert block.read(0, BLOCK) == source.expected(GIVEN, 0)
    assert [path.name for path in folder.parent.iterdir()] == ["cache"]


def test_versions_sizes_and_block_sizes_are_kept_apart(folder: Path) -> None:
    def filled(version: str, size: int, block_size: int, data: bytes) -> bytes:
        cache = BlockCache(folder, MANY, block_size)
        with cache.open(version, size, 1, lambda start, stop: data * (stop - start)) as block:
            return block.read(0, 1)

    cases = [("a", 8, 4, b"1"), ("b", 8, 4, b"2"), ("a", 7, 4, b"3"), ("a", 8, 2, b"4")]
    assert [filled(*case) for case in cases] == [b"1", b"2", b"3", b"4"]
    assert [filled(*case[:3], b"x") for case in cases] == [b"1", b"2", b"3", b"4"]


def test_only_this_user_can_read(folder: Path) -> None:
    Source(BLOCK).read(BlockCache(folder, MANY, BLOCK), 0)
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_was_opened_to_others_is_closed_again(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "v1").mkdir(mode=0o770)
    (folder / "v1").chmod(0o770)
    Source(BLOCK).read(BlockCache(folder, MANY, BLOCK), 0)
    assert stat.S_IMODE((folder / "v1").stat().st_mode) == 0o700


@pytest.mark.parametrize("error", [OSError("no route"), TimeoutError(), FileNotFoundError(), KeyError("k")])
def test_what_a_fill_raises_is_raised(folder: Path, error: Exception) -> None:
    def fill(start: int, stop: int) -> bytes:
        raise error

    cache = BlockCache(folder, MANY, BLOCK)
    with pytest.raises(type(error)) as caught:
        cache.open(GIVEN, BLOCK, 0, fill)
    assert caught.value is error
    source = Source(BLOCK)
    assert source.read(cache, 0) == source.expected(GIVEN, 0)


@pytest.mark.usefixtures("every_use_counts")
def test_the_least_recently_used_goes_first(folder: Path) -> None:
    source = Source(10 * BLOCK)
    cache = BlockCache(folder, 3 * BLOCK, BLOCK)
    for index in (0, 1, 2, 0, 3):
        source.read(cache, index)
    source.fills.clear()
    for index in (0, 2, 3, 1, 0):
        source.read(cache, index)
    assert [index for _, index in source.fills] == [1, 0]


@pytest.mark.usefixtures("every_use_counts")
def test_many_go_at_once(folder: Path) -> None:
    source = Source(200 * BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    for index in range(101):
        source.read(cache, index)
    assert bytes_in(folder) == 91 * BLOCK


def test_a_use_is_noted_once_a_minute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    source.read(cache, 0)
    (path,) = files_of(folder)
    written = path.stat().st_mtime_ns
    source.read(cache, 0)
    assert path.stat().st_mtime_ns == written
    monkeypatch.setattr("image_gateway.block_cache.block_files.TOUCH_SECONDS", -1)
    source.read(cache, 0)
    assert path.stat().st_mtime_ns > written


@pytest.mark.usefixtures("every_use_counts")
def test_an_evicted_block_stays_readable_and_leaves_no_folder(folder: Path) -> None:
    source = Source(BLOCK)
    cache = BlockCache(folder, BLOCK, BLOCK)
    with cache.open("old", BLOCK, 0, lambda start, stop: source.expected("old", 0)) as block:
        source.read(cache, 0, "new")
        assert len(files_of(folder)) == 1
        assert block.read(0, BLOCK) == source.expected("old", 0)
        assert block.file.read() == source.expected("old", 0)
    assert len(list((folder / "v1" / "blocks").iterdir())) == 1


def test_a_block_larger_than_the_cache_is_passed_by(folder: Path) -> None:
    cache = BlockCache(folder, BLOCK - 1, BLOCK)
    assert cache.open(GIVEN, BLOCK, 0, refuse) is None
    assert Source(BLOCK - 1).read(cache, 0) is not None


def test_a_cache_that_met_too_many_blocks_begins_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.block_cache.block_files.MAX_KNOWN_BLOCKS", 2)
    source = Source(9 * BLOCK)
    cache = BlockCache(folder, MANY, BLOCK)
    for index in [*range(9), *range(9)]:
        assert source.read(cache, index) == source.expected(GIVEN, index)
    assert len(source.fills) == 9
