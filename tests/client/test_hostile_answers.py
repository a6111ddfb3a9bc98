"""A hostile gateway and hostile names of files can do nothing to the terminal of whoever runs a command."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import Ended, Run
from tests.client.fake import FakeGateway, Fault

EVIL = "\x1b]0;pwned\x07\x9b31m\x7f\u202e\u2066\u200f\u061c\u2028\r\nimage-gateway: done"
SHOWN = r"\x1b]0;pwned\x07\x9b31m\x7f\u202e\u2066\u200f\u061c\u2028\r\nimage-gateway: done"
MARKUP = "[red]x[/red] [link=https://evil.example]y[/link] :smile:"


def assert_harmless(ended: Ended) -> None:
    for text in (ended.out, ended.err):
        assert {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")} <= {"\n"}
        assert "image-gateway: done" not in text.splitlines()


def refusal(code: str = EVIL, message: str = EVIL, status: int = 400) -> Fault:
    return Fault(status, body=json.dumps({"error": {"code": code, "message": message}}).encode())


@pytest.mark.parametrize(
    ("command", "route"),
    [
        (["images", "list"], "page"),
        (["images", "show", "x"], "image"),
        (["images", "rename", "x", "y"], "change"),
        (["images", "delete", "x", "--yes"], "delete"),
        (["share", "add", "x", "bob"], "add_share"),
        (["share", "list", "x"], "list_shares"),
        (["share", "link", "x"], "make_link"),
        (["download", "x", "-o", "file"], "image"),
        (["upload", "disk.img"], "create"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_messages_of_refusals(
    fake: FakeGateway, run: Run, disk: Path, command: list[str], route: str
) -> None:
    image_id = fake.add_image("disk", b"x")
    fake.fail(route, refusal())
    ended = run(*(image_id if word == "x" else word for word in command))
    assert ended.status == 1
    assert SHOWN in ended.err
    assert_harmless(ended)


def test_messages_while_waiting(fake: FakeGateway, run: Run) -> None:
    image_id = fake.add_image("disk", b"x" * 10)
    fake.fail("image", *[Fault(503, {"Retry-After": "1"}, refusal().body)])
    ended = run("download", image_id, "-o", "file", "--patience", "1")
    assert f"waiting for the gateway: the gateway answered 503: {SHOWN}" in ended.err
    assert_harmless(ended)


@pytest.mark.parametrize("value", [EVIL, MARKUP], ids=["controls", "markup"])
def test_what_a_list_and_a_record_hold(
    fake: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    image_id = fake.add_image("disk", b"x")
    fields = ("imageId", "name", "kind", "state", "created")
    shown = SHOWN if value == EVIL else value
    for field in fields:
        record = {**dict.fromkeys(fields, "x"), field: value, "size": 5}
        monkeypatch.setattr(fake, "page", lambda _, record=record: {"images": [record]})
        listed = run("images", "list")
        assert_harmless(listed)
        assert shown in listed.out
    monkeypatch.setattr(fake, "image", lambda *_: {"name": value, value: [value]})
    record_shown = run("images", "show", image_id)
    assert_harmless(record_shown)
    assert record_shown.out.count(shown[:20]) == 3
    asked = run("images", "delete", image_id)
    assert_harmless(asked)
    assert shown in asked.err


def test_what_shares_and_links_hold(fake: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = fake.add_image("disk", b"x")
    share = dict.fromkeys(("user", "permission", "created"), EVIL)
    link: dict[str, Any] = dict.fromkeys(("linkId", "expiresAt", "created", "uses", "maxUses"), EVIL)
    monkeypatch.setattr(fake, "list_shares", lambda *_: {"shares": [share]})
    monkeypatch.setattr(fake, "list_links", lambda *_: {"shareLinks": [link]})
    monkeypatch.setattr(fake, "make_link", lambda *_: {**link, "token": EVIL})
    for command in ("list", "link"):
        ended = run("share", command, image_id)
        assert ended.status == 0
        assert_harmless(ended)
    assert ended.out == f"{SHOWN}\n"
    assert SHOWN in ended.err


def test_what_an_upload_is_answered(
    fake: FakeGateway, run: Run, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "complete", lambda *_: {"ok": True, "size": 5, "etag": EVIL})
    ended = run("upload", str(disk))
    assert ended.status == 0
    assert SHOWN in ended.out
    assert_harmless(ended)


def test_the_state_of_an_upload_that_is_over(
    fake: FakeGateway, run: Run, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = fake.add_image("disk", b"x")
    monkeypatch.setattr(fake, "image", lambda *_: {"state": EVIL})
    ended = run("upload", str(disk), "--resume", image_id)
    assert ended.status == 1
    assert f"is over ({SHOWN})" in ended.err
    assert_harmless(ended)


def test_the_sha256_of_a_record(fake: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = fake.add_image("disk", b"x")
    monkeypatch.setattr(fake, "image", lambda *_: {"sha256": EVIL})
    ended = run("download", image_id, "-o", "file")
    assert ended.status == 1
    assert f"the image's is {SHOWN}" in ended.err
    assert_harmless(ended)


def test_names_of_files(fake: FakeGateway, run: Run, disk: Path) -> None:
    image_id = fake.add_image("disk", b"x")
    named = disk.rename(disk.with_name(f"{EVIL} [red]x"))
    fake.fail("complete", refusal(message="no", status=400))
    assert run("upload", named.name).status == 1
    again = run("upload", named.name)
    assert (again.status, again.err.count("\n")) == (1, 3)
    assert f"  resume it:   image-gateway upload '{SHOWN} [red]x'" in again.err
    downloaded = run("download", image_id, "-o", f"copy {EVIL}")
    assert downloaded.out.startswith(f"copy {SHOWN}, 1 bytes")
    missing = run("upload", f"missing {EVIL}")
    assert missing.status == 2
    nowhere = run("download", image_id, "-o", f"missing {EVIL}/file")
    assert nowhere.status == 1
    for ended in (again, downloaded, missing, nowhere):
        assert_harmless(ended)


def test_json_stays_json_and_plain_ascii(
    fake: FakeGateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = fake.add_image("disk", b"x")
    record = {EVIL: EVIL}
    monkeypatch.setattr(fake, "page", lambda _: {"images": [record]})
    monkeypatch.setattr(fake, "image", lambda *_: record)
    listed, shown = run("images", "list", "--json"), run("images", "show", image_id, "--json")
    assert json.loads(listed.out) == {"images": [record]}
    assert json.loads(shown.out) == record
    for ended in (listed, shown):
        assert ended.out.isascii()
        assert_harmless(ended)
