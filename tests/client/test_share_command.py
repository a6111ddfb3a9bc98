"""`image-gateway share` against a fake gateway."""

from __future__ import annotations

import json

import pytest

from tests.client.conftest import Run
from tests.client.fake import FakeGateway, Fault

TOKEN = f"igs_{'T' * 43}"
COMMANDS = [["add", "i", "u"], ["remove", "i", "u"], ["list", "i"], ["link", "i"], ["unlink", "i", "l"]]


@pytest.fixture
def image_id(fake: FakeGateway) -> str:
    return fake.add_image("disk", b"x")


def test_users_are_added_and_removed(fake: FakeGateway, run: Run, image_id: str) -> None:
    assert run("share", "add", image_id, "a friend/ä?x=1&y").status == 0
    assert fake.shared[image_id] == {"a friend/ä?x=1&y": "read"}
    added = json.loads(run("share", "add", image_id, "a friend/ä?x=1&y", "--write", "--json").out)
    assert (added["imageId"], added["permission"]) == (image_id, "write")
    removed = json.loads(run("share", "remove", image_id, "a friend/ä?x=1&y", "--json").out)
    assert removed == {"imageId": image_id, "user": "a friend/ä?x=1&y", "removed": True}
    assert fake.shared[image_id] == {}
    ended = run("share", "remove", image_id, "nobody")
    assert (ended.status, ended.out) == (1, "")
    assert "the gateway answered 404: the image is not shared with this user" in ended.err


def test_the_asking_user_is_not_the_one_shared_with(fake: FakeGateway, run: Run, image_id: str) -> None:
    assert run("share", "add", image_id, "friend", "--user", "owner").status == 0
    assert fake.shared[image_id] == {"friend": "read"}
    assert [headers["X-User-Id"] for _, headers in fake.requests] == ["owner"]


def test_a_list_tells_users_and_links_of_all_pages(fake: FakeGateway, run: Run, image_id: str) -> None:
    users = [f"user{number}" for number in range(5)]
    for user in users:
        fake.add_share(image_id, {"user": user, "permission": "read"})
    link_id = json.loads(run("share", "link", image_id, "--uses", "3", "--json").out)["linkId"]
    listed = json.loads(run("share", "list", image_id, "--json").out)
    assert [share["user"] for share in listed["shares"]] == users
    assert [link["linkId"] for link in listed["shareLinks"]] == [link_id]
    table = run("share", "list", image_id).out
    assert all(text in table for text in (*users, link_id, "0 of 3"))
    assert TOKEN not in table


def test_a_links_token_alone_is_on_stdout(fake: FakeGateway, run: Run, image_id: str) -> None:
    ended = run("share", "link", image_id, "--expires", "7d", "--uses", "2")
    assert (ended.status, ended.out) == (0, f"{TOKEN}\n")
    assert TOKEN not in ended.err
    ((link_id, link),) = fake.links.items()
    assert (link["maxUses"], link["expiresAt"]) == (2, "2031-01-08T00:00:00Z")
    assert f"link {link_id}, until 2031-01-08T00:00:00Z" in ended.err


def test_a_link_has_a_label_in_the_list(fake: FakeGateway, run: Run, image_id: str) -> None:
    run("share", "link", image_id, "--label", "for Bob")
    assert "for Bob" in run("share", "list", image_id).out


def test_a_link_without_bounds_is_taken_back(fake: FakeGateway, run: Run, image_id: str) -> None:
    made = json.loads(run("share", "link", image_id, "--json").out)
    assert (made["token"], made["expiresAt"], made["maxUses"]) == (TOKEN, None, None)
    assert run("share", "unlink", image_id, made["linkId"], "--json").status == 0
    assert fake.links == {}
    ended = run("share", "unlink", image_id, made["linkId"])
    assert ended.status == 1
    assert "there is no such share link" in ended.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_lifetimes_have_units(fake: FakeGateway, run: Run, image_id: str, text: str, seconds: int) -> None:
    asked: list[object] = []
    fake.make_link = lambda _, body: asked.append(body) or (403, "FORBIDDEN", "only the owner may share")
    ended = run("share", "link", image_id, "--expires", text)
    assert asked == [{"ttlSeconds": seconds}]
    assert (ended.status, ended.out) == (1, "")
    assert "the gateway answered 403: only the owner may share" in ended.err


@pytest.mark.parametrize(
    "options", [["--expires", "7"], ["--expires", "0d"], ["--expires", "-1d"], ["--uses", "0"]]
)
def test_wrong_bounds_are_wrong_usage(run: Run, image_id: str, options: list[str]) -> None:
    assert run("share", "link", image_id, *options).status == 2


def test_ids_are_never_paths(fake: FakeGateway, run: Run, image_id: str) -> None:
    assert run("share", "unlink", image_id, "../shares?user=x").status == 1
    assert run("share", "list", "../x").status == 1
    assert not any("/../" in path or "user=x" in path for path, _ in fake.requests)


@pytest.mark.parametrize("route", ["add_share", "list_shares", "make_link"])
def test_a_blip_is_waited_for(fake: FakeGateway, run: Run, image_id: str, route: str) -> None:
    fake.fail(route, Fault(429, {"Retry-After": "0"}))
    command = {"add_share": ["add", image_id, "u"], "list_shares": ["list", image_id]}
    assert run("share", *command.get(route, ["link", image_id])).status == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_asks_with_the_token(
    fake: FakeGateway, run: Run, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_GATEWAY_TOKEN", "t")
    fake.tokens = {"t"}
    ended = run("share", *command)
    assert ended.status == 1
    assert "no such image" in ended.err
    assert "Example: " in run("share", command[0], "--help").out
