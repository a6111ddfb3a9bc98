"""`image-gateway delta export` against fake deltas."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from image_gateway.client import download as downloading
from tests.client.conftest import Run
from tests.client.deltas.fake import FakeDelta, FakeDeltas
from tests.client.fake import RESET, Fault

MIB = 1024 * 1024
DATA = random.Random(3).randbytes(300_000) + bytes(8 * MIB) + b"end"
OLD = random.Random(4).randbytes(len(DATA))


@pytest.fixture
def delta(fake: FakeDeltas) -> FakeDelta:
    delta = fake.add(OLD)
    delta.append(DATA)
    return delta


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "RANGE_STEP", MIB)


def test_the_newest_generation_becomes_a_sparse_file(delta: FakeDelta, run: Run, tmp_path: Path) -> None:
    ended = run("delta", "export", delta.delta_id, "-o", "out.img", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out) == {
        "deltaId": delta.delta_id,
        "generation": 1,
        "file": "out.img",
        "size": len(DATA),
        "etag": delta.etag(1),
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "kept": 0,
    }
    assert (tmp_path / "out.img").read_bytes() == DATA
    assert (tmp_path / "out.img").stat().st_blocks * 512 < MIB
    assert [path.name for path in tmp_path.iterdir()] == ["out.img"]


def test_an_earlier_generation_can_be_exported(delta: FakeDelta, run: Run, tmp_path: Path) -> None:
    ended = run("delta", "export", delta.delta_id, "-o", "out.img", "--generation", "0")
    assert "generation 0\nsha256 " in ended.out
    assert (tmp_path / "out.img").read_bytes() == OLD


@pytest.mark.usefixtures("small_ranges")
def test_commits_meanwhile_do_not_mix_in(
    fake: FakeDeltas, delta: FakeDelta, run: Run, tmp_path: Path
) -> None:
    fake.on_read = lambda: delta.append(random.Random(delta.generation).randbytes(len(DATA)))
    assert run("delta", "export", delta.delta_id, "-o", "out.img").status == 0
    assert (tmp_path / "out.img").read_bytes() == DATA


@pytest.mark.usefixtures("small_ranges")
def test_a_connection_that_breaks_is_resumed(
    fake: FakeDeltas, delta: FakeDelta, run: Run, tmp_path: Path
) -> None:
    fake.fail("read", Fault("pass"), Fault(RESET), Fault("pass"), Fault(503, {"Retry-After": "0"}))
    assert run("delta", "export", delta.delta_id, "-o", "out.img").status == 0
    assert (tmp_path / "out.img").read_bytes() == DATA


@pytest.mark.usefixtures("small_ranges")
def test_an_export_that_failed_goes_on_where_it_was(
    fake: FakeDeltas, delta: FakeDelta, run: Run, tmp_path: Path
) -> None:
    command = [
        "delta",
        "export",
        delta.delta_id,
        "-o",
        "out.img",
        "--generation",
        "1",
        "--parallel",
        "1",
        "--json",
    ]
    fake.fail("read", *[Fault("pass")] * 3, Fault(400))
    assert run(*command).status == 1
    assert not (tmp_path / "out.img").exists()
    delta.append(OLD)
    ended = run(*command)
    assert json.loads(ended.out)["kept"] == 2 * MIB
    assert (tmp_path / "out.img").read_bytes() == DATA


@pytest.mark.usefixtures("small_ranges")
def test_what_is_left_of_another_generation_does_not_show_in_holes(
    fake: FakeDeltas, delta: FakeDelta, run: Run, tmp_path: Path
) -> None:
    command = ["delta", "export", delta.delta_id, "-o", "out.img", "--parallel", "1"]
    fake.fail("read", *[Fault("pass")] * 6, Fault(400))
    assert run(*command, "--generation", "0").status == 1
    assert run(*command, "--generation", "1").status == 0
    assert (tmp_path / "out.img").read_bytes() == DATA


def test_a_generation_that_is_not_kept_is_told(delta: FakeDelta, run: Run, tmp_path: Path) -> None:
    ended = run("delta", "export", delta.delta_id, "-o", "out.img", "--generation", "7")
    assert ended.status == 1
    assert f"generation 7 of delta {delta.delta_id} is not kept" in ended.err
    assert f"image-gateway delta snapshot {delta.delta_id} NAME" in ended.err
    assert not (tmp_path / "out.img").exists()


@pytest.mark.usefixtures("small_ranges")
def test_a_generation_that_is_dropped_meanwhile_is_told(
    fake: FakeDeltas, delta: FakeDelta, run: Run, tmp_path: Path
) -> None:
    delta.append(OLD)
    fake.before_bytes = lambda: delta.contents.pop(1, None)
    ended = run("delta", "export", delta.delta_id, "-o", "out.img", "--generation", "1", "--parallel", "1")
    assert ended.status == 1
    assert f"generation 1 of delta {delta.delta_id} is not kept" in ended.err
    assert not (tmp_path / "out.img").exists()


def test_a_missing_delta_is_told(run: Run) -> None:
    ended = run("delta", "export", "none", "-o", "out.img")
    assert ended.status == 1
    assert "there is no such delta" in ended.err


def test_an_interrupted_export_tells_how_to_go_on(
    delta: FakeDelta, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading.Downloading, "run", interrupt)
    ended = run("delta", "export", delta.delta_id, "-o", "out file.img")
    assert ended.status == 130
    assert f"image-gateway delta export {delta.delta_id} -o 'out file.img' --generation 1" in ended.err
