"""The checks, on folders: each planted fault is found, and nothing else is reported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_gateway.protocol.verification import Received, Unreadable, choose_chunks
from image_gateway.services import verify_report
from image_gateway.services.verify_report import VerifyReport
from image_gateway.services.verify_sources import FolderSource
from image_gateway.services.verifying import verify
from tests.support.static_image import CHUNK, DATA, IMAGE_ID, SIZE, StaticImage, make_image, make_manifest

SECOND = "chunks/00000001.bin"
LAST = "chunks/00000004.bin"


@pytest.fixture
def image() -> StaticImage:
    return make_image()


def verify_folder(image: StaticImage, folder: Path, **options: Any) -> VerifyReport:
    return verify(FolderSource(image.write_to(folder)), **options)


def found(report: VerifyReport) -> list[tuple[str, str]]:
    return [(problem.where, problem.check) for problem in report.problems]


def test_nothing_is_wrong(image: StaticImage, tmp_path: Path) -> None:
    totals: list[int] = []
    steps: list[int] = []
    report = verify_folder(image, tmp_path, on_bytes=steps.append, on_total=totals.append, image_id=IMAGE_ID)
    assert report.ok
    assert (report.checked_chunks, report.chunk_count, report.checked_bytes) == (5, 5, 2 * SIZE)
    assert report.version == make_manifest()["version"]
    assert report.disk_compared
    assert (totals, steps) == ([2 * SIZE], [2 * CHUNK] * 4 + [2 * 512])


def test_an_image_without_a_disk(image: StaticImage, tmp_path: Path) -> None:
    del image.files["disk.img"]
    report = verify_folder(image, tmp_path)
    assert report.ok
    assert (report.disk_compared, report.checked_bytes) == (False, SIZE)


FAULTS: dict[str, tuple[Callable[[StaticImage], Any], list[tuple[str, str]]]] = {
    "flipped byte": (lambda image: image.flip(SECOND), [("chunk 1", "sha256")]),
    "short chunk": (
        lambda image: image.files.update({SECOND: image.files[SECOND][:-1]}),
        [("chunk 1", "size")],
    ),
    "long chunk": (lambda image: image.files.update({LAST: image.files[LAST] + b"x"}), [("chunk 4", "size")]),
    "missing chunk": (lambda image: image.files.pop(LAST), [("chunk 4", "missing")]),
    "flipped byte of the disk": (
        lambda image: image.flip("disk.img", 2 * CHUNK),
        [("disk bytes 2048-3071", "equality")],
    ),
    "short disk": (lambda image: image.files.update({"disk.img": DATA[:-512]}), [("disk", "size")]),
    "version": (lambda image: image.change_manifest(version=f"sha256-{'0' * 64}"), [("manifest", "version")]),
    "schema": (lambda image: image.change_manifest(schema="v2"), [("manifest", "schema")]),
    "count": (lambda image: image.change_manifest(chunkCount=4), [("manifest", "schema")]),
    "size of a chunk": (lambda image: image.change_manifest(chunkSize=CHUNK + 1), [("manifest", "schema")]),
    "no JSON": (lambda image: image.files.update({"manifest.json": b"<html>"}), [("manifest", "schema")]),
    "another image": (lambda image: image.change_manifest(imageId="other"), [("manifest", "imageId")]),
    "two chunks": (
        lambda image: (image.flip(SECOND), image.flip(LAST)),
        [("chunk 1", "sha256"), ("chunk 4", "sha256")],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_nothing_else(image: StaticImage, tmp_path: Path, fault: str) -> None:
    plant, expected = FAULTS[fault]
    plant(image)
    report = verify_folder(image, tmp_path, keep_going=True, image_id=IMAGE_ID)
    assert (found(report), report.unreadable) == (expected, [])
    assert found(verify(FolderSource(tmp_path), image_id=IMAGE_ID)) == expected[:1]


@pytest.mark.parametrize("chunks", [None, [{}] * 5, [{"size": None}] * 5], ids=str)
def test_without_hashes_the_version_shows_a_wrong_chunk(
    image: StaticImage, tmp_path: Path, chunks: Any
) -> None:
    image.change_manifest(chunks=chunks)
    assert verify_folder(image, tmp_path).ok
    del image.files["disk.img"]
    image.flip(SECOND)
    (tmp_path / "disk.img").unlink()
    assert found(verify_folder(image, tmp_path)) == [("manifest", "version")]


def test_an_opaque_version_is_not_compared(image: StaticImage, tmp_path: Path) -> None:
    image.change_manifest(version="v7")
    assert verify_folder(image, tmp_path).ok
    report = verify_folder(image, tmp_path, sha256="0" * 64)
    assert found(report) == [("disk", "sha256")]


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_sample_is_reproducible(image: StaticImage, tmp_path: Path, parallel: int) -> None:
    seen: list[list[int]] = []
    for seed in (7, 7, 8):
        source = Counting(image.write_to(tmp_path))
        report = verify(source, sample=3, seed=seed, parallel=parallel)
        assert (report.ok, report.checked_chunks, report.chunk_count) == (True, 3, 5)
        seen.append(sorted(source.read))
    assert seen[0] == seen[1]
    assert seen[0] == choose_chunks(5, 3, 7)


class Counting(FolderSource):
    """Remembers which chunks were read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[int] = []

    def read_chunk(self, index: int, width: int, size: int) -> Received:
        self.read.append(index)
        return super().read_chunk(index, width, size)


@pytest.mark.parametrize("count", [1, 2, 3, 500_000])
@pytest.mark.parametrize("sample", [1, 2, 3, 50])
def test_a_sample_holds_the_first_and_the_last(count: int, sample: int) -> None:
    for seed in range(20):
        chosen = choose_chunks(count, sample, seed)
        assert {chosen[0], chosen[-1]} == {0, count - 1}
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(count, max(sample, 2))
        assert chosen == choose_chunks(count, sample, seed)


def test_samples_differ_by_seed_and_stay_the_same() -> None:
    assert choose_chunks(1000, 5, 1) == [0, 134, 763, 847, 999]
    assert len({tuple(choose_chunks(1000, 5, seed)) for seed in range(50)}) == 50
    assert choose_chunks(4, None, 1) == choose_chunks(4, 9, 1) == [0, 1, 2, 3]


def test_what_cannot_be_read_is_not_called_wrong(image: StaticImage, tmp_path: Path) -> None:
    del image.files[SECOND]
    image.write_to(tmp_path)
    (tmp_path / SECOND).mkdir()
    report = verify(FolderSource(tmp_path), keep_going=True)
    assert report.problems == []
    assert [problem.where for problem in report.unreadable] == ["chunk 1"]
    assert report.checked_chunks == 4
    (tmp_path / SECOND).rmdir()
    os.mkfifo(tmp_path / SECOND)
    assert [str(problem) for problem in verify(FolderSource(tmp_path)).unreadable] == [
        "chunk 1: unreadable: is not a regular file"
    ]


def test_a_folder_without_a_manifest_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(DATA)
    report = verify(FolderSource(tmp_path))
    assert (report.problems, [problem.check for problem in report.unreadable]) == ([], ["missing"])


def test_a_dead_source_is_given_up(image: StaticImage, tmp_path: Path) -> None:
    class Dead(FolderSource):
        def read_chunk(self, index: int, width: int, size: int) -> Received:
            raise Unreadable("HTTP 503")

    data = bytes(100 * 512)
    large = make_image(data, 512)
    report = verify(Dead(large.write_to(tmp_path)), keep_going=True)
    assert len(report.unreadable) == verify_report.MAX_UNREADABLE
    assert report.checked_chunks == 0


def test_problems_beyond_a_limit_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_report, "MAX_PROBLEMS", 3)
    image = make_image()
    for number in range(5):
        image.flip(f"chunks/{number:08d}.bin")
    report = verify_folder(image, tmp_path, keep_going=True)
    assert (len(report.problems), report.omitted, report.ok) == (3, 2, False)
