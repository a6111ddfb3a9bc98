"""A cache that fails is passed by; it never fails a read."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from image_gateway.block_cache import block_cache as backoff
from image_gateway.block_cache import cache_directory as locks
from image_gateway.block_cache.block_cache import BlockCache
from tests.block_cache.source import BLOCK, GIVEN, Source, files_of
from tests.block_cache.worker import in_threads

SIZE = 9 * BLOCK


def failing(number: int) -> object:
    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("key", ["cache", "cache/v1", "cache/v1/blocks", "cache/v1/locks"])
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, key: str) -> None:
    (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / key).write_text("not a folder")
    source = Source(SIZE)
    assert source.read(BlockCache(tmp_path / "cache", 100 * BLOCK, BLOCK), 0) is None
    assert source.fills == []


def test_a_folder_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert Source(SIZE).read(BlockCache(folder, 100 * BLOCK, BLOCK), 0) is None


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("write", errno.ENOSPC),
        ("write", errno.EDQUOT),
        ("pwrite", errno.EIO),
        ("rename", errno.EROFS),
        ("utime", errno.EPERM),
    ],
)
def test_a_disk_that_takes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    source.read(cache, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        assert source.read(cache, 1) is None
        assert len(source.fills) == 2
        assert source.read(cache, 2) is None
        assert len(source.fills) == 2, "what could not be kept must not be read"
        assert source.read(cache, 0) == source.expected(GIVEN, 0), "what is there is served all the same"
    assert not (folder / "v1" / "incoming").exists()
    assert len(files_of(folder)) == 1
    monkeypatch.setattr(backoff, "PAUSE_SECONDS", 0)
    again = BlockCache(folder, 100 * BLOCK, BLOCK)
    assert source.read(again, 1) == source.expected(GIVEN, 1)


def test_those_who_waited_do_not_read_what_cannot_be_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    waiting = threading.Barrier(8)
    answers: list[bytes | None] = []

    def ask(number: int) -> None:
        waiting.wait()
        answers.append(source.read(cache, 0))

    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))
    in_threads(8, ask)
    assert answers == [None] * 8
    assert len(source.fills) == 1


def test_what_was_not_kept_is_not_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "PAUSE_SECONDS", 0)
    source = Source(SIZE)
    cache = BlockCache(folder, 3 * BLOCK, BLOCK)
    source.read(cache, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.ENOSPC))
        assert source.read(cache, 1) is None
    assert int.from_bytes((folder / "v1" / "capacity").read_bytes()[:8], "little") == BLOCK


def test_a_disk_that_takes_half_of_a_block(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1000]))
    source = Source(SIZE)
    assert source.read(BlockCache(folder, 100 * BLOCK, BLOCK), 0) == source.expected(GIVEN, 0)


def test_no_descriptors_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    source.read(cache, 0)
    with monkeypatch.context() as patch:
        patch.setattr("image_gateway.block_cache.block_files.FileIO", failing(errno.EMFILE))
        assert source.read(cache, 0) is None
    assert source.read(cache, 0) == source.expected(GIVEN, 0)


def test_it_is_told_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("not a folder")
    cache = BlockCache(tmp_path / "cache", 100 * BLOCK, BLOCK)
    for index in range(5):
        Source(SIZE).read(cache, index)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "bypassed: " in caplog.text


def test_the_folder_vanishes(folder: Path) -> None:
    source = Source(SIZE)
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    for _ in range(2):
        assert source.read(cache, 0) == source.expected(GIVEN, 0)
        shutil.rmtree(folder)
    assert len(source.fills) == 2


def test_a_fill_of_another_length_is_not_kept(folder: Path) -> None:
    cache = BlockCache(folder, 100 * BLOCK, BLOCK)
    assert cache.open(GIVEN, SIZE, 0, lambda start, stop: b"short") is None
    assert files_of(folder) == []


@pytest.mark.parametrize("held", ["capacity", "locks"])
def test_nobody_waits_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_SECONDS", 0.05)
    source = Source(SIZE)
    source.read(BlockCache(folder, 100 * BLOCK, BLOCK), 0)
    (taken,) = [path for path in (folder / "v1").glob(f"{held}*/**/*") if path.is_file()] or [
        folder / "v1" / held
    ]
    with locks.FileLock(str(taken)) as lock:
        assert any(lock.attempts())
        for path in files_of(folder):
            path.unlink()
        assert source.read(BlockCache(folder, 100 * BLOCK, BLOCK), 0) is None
    assert source.read(BlockCache(folder, 100 * BLOCK, BLOCK), 0) == source.expected(GIVEN, 0)
