"""Uploads that were interrupted: what is remembered, what is sent again, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from tests.client.conftest import SIZE, Run
from tests.client.fake import FakeGateway, FakeImage, Fault
from tests.live.support import COMMAND

NO_WAY = ("--patience", "0")


def only(fake: FakeGateway) -> FakeImage:
    (image,) = fake.images.values()
    return image


def cut_after(fake: FakeGateway, run: Run, disk: Path, parts: int) -> str:
    """Upload until `parts` are there and everything else fails; returns the image's id."""
    fake.on_put = lambda number: number > parts and fake.fail("put", Fault(503))
    assert run("upload", str(disk), "--parallel", "1", *NO_WAY).status == 75
    fake.on_put = lambda _: None
    assert fake.puts == list(range(1, parts + 1))
    fake.puts.clear()
    return next(iter(fake.images))


def test_resume_sends_only_what_is_missing(fake: FakeGateway, run: Run, disk: Path) -> None:
    cut_after(fake, run, disk, 3)
    ended = run("upload", str(disk), "--resume", "--json")
    assert ended.status == 0, ended.err
    assert sorted(fake.puts) == [4, 5]
    assert (json.loads(ended.out)["sent"], json.loads(ended.out)["kept"]) == (2, 3)
    assert only(fake).data == disk.read_bytes()


def test_resume_by_id_needs_no_memory(fake: FakeGateway, run: Run, disk: Path, cache: Path) -> None:
    image_id = cut_after(fake, run, disk, 2)
    for file in cache.iterdir():
        file.unlink()
    assert run("upload", str(disk), "--resume").status == 1
    assert run("upload", str(disk), "--resume", image_id).status == 0
    assert sorted(fake.puts) == [3, 4, 5]


def test_parts_of_wrong_size_or_bytes_are_sent_again(fake: FakeGateway, run: Run, disk: Path) -> None:
    image_id = cut_after(fake, run, disk, 4)
    fake.store_part(image_id, 1, b"too short")
    fake.store_part(image_id, 2, bytes(1000))
    fake.store_part(image_id, 9, b"beyond the end")
    fake.puts.clear()
    assert run("upload", str(disk), "--resume").status == 0
    assert sorted(fake.puts) == [1, 2, 5]
    assert only(fake).data == disk.read_bytes()


def test_etags_that_are_no_md5_are_taken_by_size(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.part_etag = lambda data: f'"store-{len(data)}"'
    cut_after(fake, run, disk, 3)
    assert run("upload", str(disk), "--resume").status == 0
    assert sorted(fake.puts) == [4, 5]


@pytest.mark.parametrize("size", [SIZE, SIZE + 1])
def test_a_changed_file_is_refused(fake: FakeGateway, run: Run, disk: Path, size: int) -> None:
    cut_after(fake, run, disk, 3)
    disk.write_bytes(bytes(size))
    os.utime(disk, ns=(1, 1))
    ended = run("upload", str(disk), "--resume")
    assert ended.status == 1
    assert "has changed since the upload" in ended.err
    assert fake.puts == []


def test_a_file_of_another_size_is_refused_without_memory(
    fake: FakeGateway, run: Run, disk: Path, tmp_path: Path
) -> None:
    image_id = cut_after(fake, run, disk, 3)
    (tmp_path / "other").write_bytes(bytes(99))
    ended = run("upload", "other", "--resume", image_id)
    assert ended.status == 1
    assert "declared to be of 4321 bytes" in ended.err


def test_an_unfinished_upload_asks_what_to_do(fake: FakeGateway, run: Run, disk: Path) -> None:
    image_id = cut_after(fake, run, disk, 3)
    asked = len(fake.asked)
    ended = run("upload", str(disk))
    assert ended.status == 1
    assert image_id in ended.err
    assert "--resume" in ended.err
    assert "--new" in ended.err
    assert len(fake.asked) == asked


def test_new_throws_the_old_one_away(fake: FakeGateway, run: Run, disk: Path) -> None:
    old = cut_after(fake, run, disk, 3)
    assert run("upload", str(disk), "--new").status == 0
    assert fake.images[old].state == "failed"
    assert len(fake.images) == 2


def test_a_complete_whose_answer_was_lost_is_done(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.fail("complete", Fault(503))
    assert run("upload", str(disk), *NO_WAY).status == 75
    image = only(fake)
    image.state, image.data = "complete", disk.read_bytes()
    ended = run("upload", str(disk), "--resume")
    assert ended.status == 0, ended.err
    assert "complete already" in ended.err


def test_an_upload_that_is_over_is_forgotten(fake: FakeGateway, run: Run, disk: Path) -> None:
    cut_after(fake, run, disk, 3)
    only(fake).state = "failed"
    ended = run("upload", str(disk), "--resume")
    assert ended.status == 1
    assert "is over (failed): start over" in ended.err
    assert run("upload", str(disk)).status == 0


def test_what_is_remembered_is_the_owners_alone(fake: FakeGateway, run: Run, disk: Path, cache: Path) -> None:
    image_id = cut_after(fake, run, disk, 1)
    (file,) = cache.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    remembered = json.loads(file.read_text())
    assert set(remembered) == {"api", "image_id", "upload_id", "size", "mtime_ns"}
    assert (remembered["image_id"], remembered["size"]) == (image_id, SIZE)


def test_ctrl_c_leaves_an_upload_to_resume(fake: FakeGateway, run: Run, disk: Path, cache: Path) -> None:
    arrived, released = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 3:
            arrived.set()
            released.wait(60)

    fake.on_put = hold
    child = subprocess.Popen(
        [COMMAND, "upload", str(disk), "--parallel", "1"], stderr=subprocess.PIPE, text=True
    )
    assert arrived.wait(60)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    released.set()
    image_id = next(iter(fake.images))
    assert child.returncode == 130
    assert f"interrupted; to resume: image-gateway upload {disk}" in said.replace("\n", " ")
    assert f"--resume {image_id}" in said
    assert "Traceback" not in said
    assert len(list(cache.iterdir())) == 1
    fake.on_put = lambda _: None
    assert run("upload", str(disk), "--resume").status == 0
    assert only(fake).data == disk.read_bytes()
