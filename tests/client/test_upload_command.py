"""`image-gateway upload` against a gateway that fails in every way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.client.conftest import SIZE, Run
from tests.client.fake import RESET, FakeGateway, FakeImage, Fault

NO_WAY = ("--patience", "0")
EXPIRED = Fault(403, body=b"<Error><Code>AccessDenied</Code></Error>")


def only(fake: FakeGateway) -> FakeImage:
    (image,) = fake.images.values()
    return image


def test_a_file_becomes_an_image(fake: FakeGateway, run: Run, disk: Path, cache: Path) -> None:
    ended = run("upload", str(disk), "--name", "My disk", "--json")
    assert ended.status == 0, ended.err
    answer = json.loads(ended.out)
    assert (answer["size"], answer["sent"], answer["kept"]) == (SIZE, 5, 0)
    image = fake.images[answer["imageId"]]
    assert (image.data, image.name, image.size) == (disk.read_bytes(), "My disk", SIZE)
    assert fake.signed == [[1, 2, 3, 4, 5]]
    assert list(cache.iterdir()) == []


def test_an_empty_file_is_one_empty_part(fake: FakeGateway, run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert run("upload", "empty").status == 0
    assert (fake.puts, only(fake).state) == ([1], "complete")


def test_more_parts_than_one_batch_of_urls(fake: FakeGateway, run: Run, tmp_path: Path) -> None:
    (tmp_path / "many").write_bytes(bytes(150_000))
    assert run("upload", "many").status == 0
    assert sorted(len(numbers) for numbers in fake.signed) == [22, 64, 64]
    assert sorted(fake.puts) == list(range(1, 151))


@pytest.mark.parametrize("route", ["create", "urls", "put", "complete"])
@pytest.mark.parametrize(
    "fault",
    [Fault(503, {"Retry-After": "0"}), Fault(RESET), Fault(429), Fault(500)],
    ids=lambda f: f"{f.status}",
)
def test_what_passes_is_tried_again(
    fake: FakeGateway, run: Run, disk: Path, route: str, fault: Fault
) -> None:
    fake.fail(route, fault)
    ended = run("upload", str(disk))
    assert ended.status == 0, ended.err
    assert disk.read_bytes() in [image.data for image in fake.images.values()]


def test_expired_urls_are_signed_anew(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.dead_signatures = {"sig1"}
    assert run("upload", str(disk)).status == 0
    assert only(fake).data == disk.read_bytes()
    assert len(fake.signed) > 1


def test_urls_are_old_by_the_servers_clock(fake: FakeGateway, run: Run, disk: Path) -> None:
    # 2031 there, 2026 here: only the difference between the server's own two times counts.
    fake.lifetime = 0
    assert run("upload", str(disk), "--parallel", "1").status == 0
    assert len(fake.signed) == 5


def test_urls_that_are_always_refused_end_it(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.fail("put", *[EXPIRED] * 50)
    ended = run("upload", str(disk), "--parallel", "1")
    assert ended.status == 1
    assert "403 AccessDenied" in ended.err


def test_patience_ends_with_75_and_the_command_to_go_on(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.fail("put", *[Fault(503)] * 5)
    ended = run("upload", str(disk), *NO_WAY)
    assert ended.status == 75
    assert f"--resume {next(iter(fake.images))}" in ended.err
    assert "Traceback" not in ended.err


def test_a_gateway_that_is_away_is_told_and_waited_for(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.fail("create", Fault(503, {"Retry-After": "1"}), Fault(RESET))
    ended = run("upload", str(disk))
    assert ended.status == 0
    assert "waiting for the gateway: the gateway answered 503: told to fail" in ended.err
    assert "the gateway answers again" in ended.err


@pytest.mark.parametrize("route", ["create", "urls"])
def test_a_refusal_of_the_gateway_ends_it_at_once(
    fake: FakeGateway, run: Run, disk: Path, route: str
) -> None:
    body = b'{"error": {"code": "QUOTA_EXCEEDED", "message": "no room left"}}'
    fake.fail(route, *[Fault(403, body=body)] * 2)
    ended = run("upload", str(disk), "--parallel", "1")
    assert (ended.status, ended.out) == (1, "")
    assert "the gateway answered 403: no room left" in ended.err
    assert fake.asked.count(route) == 1


def test_a_refused_complete_is_told_and_leaves_the_upload(fake: FakeGateway, run: Run, disk: Path) -> None:
    body = b'{"error": {"code": "BAD_REQUEST", "message": "no such part: part 3"}}'
    fake.fail("complete", Fault(400, body=body))
    ended = run("upload", str(disk))
    assert ended.status == 1
    assert "no such part: part 3" in ended.err
    fake.puts.clear()
    assert run("upload", str(disk), "--resume").status == 0
    assert fake.puts == []


def test_a_file_changed_while_it_is_sent_is_not_completed(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.on_put = lambda number: number == 5 and os.utime(disk, ns=(1, 1))
    ended = run("upload", str(disk), "--parallel", "1")
    assert ended.status == 1
    assert "was changed while it was uploaded" in ended.err
    assert "complete" not in fake.asked


def test_a_file_cut_while_it_is_sent_is_not_completed(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.on_put = lambda number: os.truncate(disk, 1500)
    ended = run("upload", str(disk), "--parallel", "1")
    assert ended.status == 1
    assert "has become shorter" in ended.err


def test_a_declared_hash_is_checked(fake: FakeGateway, run: Run, disk: Path) -> None:
    ended = run("upload", str(disk), "--sha256", "--json")
    assert ended.status == 0
    assert json.loads(ended.out)["sha256"] == only(fake).sha256
    fake.on_put = lambda _: setattr(list(fake.images.values())[1], "sha256", "0" * 64)
    refused = run("upload", str(disk), "--sha256")
    assert refused.status == 1
    assert "another SHA-256 was declared" in refused.err
    assert "--resume" not in refused.err


def test_no_secret_is_printed(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.fail("put", Fault(RESET), *[EXPIRED] * 50)
    ended = run("upload", str(disk))
    assert ended.status == 1
    for secret in ("Signature", "secret-upload", "/store/"):
        assert secret not in ended.out + ended.err


@pytest.mark.parametrize(
    ("variables", "arguments", "status"),
    [
        ({"IMAGE_GATEWAY_API": "ftp://x"}, [], 78),
        ({"IMAGE_GATEWAY_API": "http://me:password@x"}, [], 78),
        ({"IMAGE_GATEWAY_USER": "a\nb"}, [], 78),
        ({}, ["--api", "x"], 2),
        ({}, ["--user", "ä"], 2),
        ({}, ["--resume", "x", "--new"], 2),
        ({}, ["--parallel", "0"], 2),
    ],
)
def test_mistakes_of_usage_and_configuration(
    run: Run,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: list[str],
    status: int,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = run("upload", str(disk), *arguments)
    assert ended.status == status
    assert "password@" not in ended.err
    assert "Traceback" not in ended.err


def test_an_answer_of_something_else_is_named(fake: FakeGateway, run: Run, disk: Path) -> None:
    fake.fail("create", Fault(200, body=b"<html>Welcome to our hotel</html>"))
    ended = run("upload", str(disk))
    assert ended.status == 1
    assert "not a gateway's" in ended.err
