"""`image-gateway download` against a gateway that fails in every way."""

from __future__ import annotations

import fcntl
import hashlib
import json
import random
from pathlib import Path

import pytest

from image_gateway.client import download as downloading
from tests.client.conftest import Run
from tests.client.fake import PASS, RESET, FakeGateway, Fault

DATA = random.Random(3).randbytes(10_500)
STEP = 1000


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "RANGE_STEP", STEP)


@pytest.fixture
def image_id(fake: FakeGateway) -> str:
    return fake.add_image("disk", DATA, hashlib.sha256(DATA).hexdigest())


def cut_after(fake: FakeGateway, run: Run, image_id: str, ranges: int) -> None:
    """Download until `ranges` are there and the gateway stays away."""
    fake.fail("range", *[Fault(PASS)] * ranges, Fault(503))
    assert run("download", image_id, "-o", "back", "--parallel", "1", "--patience", "0").status == 75
    fake.forgive("range")


def test_an_image_becomes_a_file(run: Run, image_id: str, tmp_path: Path) -> None:
    ended = run("download", image_id, "-o", "back", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["checked"] is True
    assert (tmp_path / "back").read_bytes() == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back"]


def test_an_unknown_hash_is_told(fake: FakeGateway, run: Run) -> None:
    ended = run("download", fake.add_image("disk", DATA), "-o", "back")
    assert ended.status == 0
    assert f"sha256 {hashlib.sha256(DATA).hexdigest()} (not verified: the gateway has no SHA-256" in ended.out


def test_an_empty_image(fake: FakeGateway, run: Run, tmp_path: Path) -> None:
    assert run("download", fake.add_image("empty"), "-o", "back").status == 0
    assert (tmp_path / "back").read_bytes() == b""


def test_a_wrong_hash_is_refused_and_begun_anew(fake: FakeGateway, run: Run, tmp_path: Path) -> None:
    image_id = fake.add_image("disk", DATA, "0" * 64)
    ended = run("download", image_id, "-o", "back")
    assert ended.status == 1
    assert "the image's is 000" in ended.err
    assert not (tmp_path / "back").exists()
    fake.images[image_id].sha256 = None
    assert json.loads(run("download", image_id, "-o", "back", "--json").out)["kept"] == 0


@pytest.mark.parametrize("fault", [Fault(503), Fault(RESET), Fault(429, {"Retry-After": "0"})])
def test_what_passes_is_tried_again(
    fake: FakeGateway, run: Run, image_id: str, tmp_path: Path, fault: Fault
) -> None:
    for route in ("head", "image", "range"):
        fake.fail(route, fault)
    ended = run("download", image_id, "-o", "back")
    assert ended.status == 0, ended.err
    assert (tmp_path / "back").read_bytes() == DATA


def test_it_goes_on_with_what_is_there(fake: FakeGateway, run: Run, image_id: str, tmp_path: Path) -> None:
    cut_after(fake, run, image_id, 4)
    asked = fake.asked.count("range")
    ended = run("download", image_id, "-o", "back", "--json")
    assert json.loads(ended.out)["kept"] == 4 * STEP
    assert fake.asked.count("range") - asked == 7
    assert (tmp_path / "back").read_bytes() == DATA


def test_notes_without_their_file_are_worth_nothing(
    fake: FakeGateway, run: Run, image_id: str, tmp_path: Path
) -> None:
    cut_after(fake, run, image_id, 4)
    (tmp_path / "back.part").unlink()
    assert json.loads(run("download", image_id, "-o", "back", "--json").out)["kept"] == 0
    assert (tmp_path / "back").read_bytes() == DATA


def test_another_version_begins_anew(fake: FakeGateway, run: Run, image_id: str, tmp_path: Path) -> None:
    cut_after(fake, run, image_id, 4)
    fake.images[image_id].data = bytes(len(DATA))
    fake.images[image_id].sha256 = None
    assert json.loads(run("download", image_id, "-o", "back", "--json").out)["kept"] == 0
    assert (tmp_path / "back").read_bytes() == bytes(len(DATA))


def test_a_change_on_the_way_ends_it(fake: FakeGateway, run: Run, image_id: str, tmp_path: Path) -> None:
    fake.on_range = lambda: setattr(fake.images[image_id], "data", bytes(len(DATA)))
    ended = run("download", image_id, "-o", "back")
    assert ended.status == 1
    assert "was changed while it was downloaded" in ended.err
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, body=DATA),
        Fault(206, {"Content-Range": "bytes 0-999/10500", "ETag": '"another"'}, DATA[:1000]),
        Fault(206, {}, DATA[:1000]),
    ],
    ids=["all", "another version", "no range"],
)
def test_other_bytes_than_asked_for_are_never_taken(
    fake: FakeGateway, run: Run, image_id: str, tmp_path: Path, fault: Fault
) -> None:
    fake.fail("range", fault)
    assert run("download", image_id, "-o", "back").status == 1
    assert not (tmp_path / "back").exists()


def test_a_second_download_into_the_same_file_is_refused(run: Run, image_id: str, tmp_path: Path) -> None:
    with (tmp_path / "back.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        ended = run("download", image_id, "-o", "back")
    assert ended.status == 1
    assert "is being written by another download" in ended.err


def test_a_folder_that_is_missing_is_told(run: Run, image_id: str) -> None:
    ended = run("download", image_id, "-o", "no/such/file")
    assert ended.status == 1
    assert "No such file or directory" in ended.err
