"""`image-gateway images` against a fake gateway."""

from __future__ import annotations

import json

import pytest

from tests.client.conftest import Run
from tests.client.fake import FakeGateway, Fault


def test_a_list_goes_through_all_pages(fake: FakeGateway, run: Run) -> None:
    ids = [fake.add_image(f"disk {number}", b"x") for number in range(5)]
    assert [image["imageId"] for image in json.loads(run("images", "list", "--json").out)["images"]] == ids
    assert len(json.loads(run("images", "list", "--limit", "3", "--json").out)["images"]) == 3
    table = run("images", "list", "--name", "disk 4").out
    assert ids[4] in table
    assert ids[3] not in table


def test_what_others_share_is_listed_when_asked_for(fake: FakeGateway, run: Run) -> None:
    assert run("images", "list").status == 0
    assert run("images", "list", "--shared", "--json").status == 0
    assert [query.get("shared") for query in fake.listed] == [None, "true"]


def test_a_name_does_nothing_to_the_terminal(fake: FakeGateway, run: Run) -> None:
    image_id = fake.add_image("\x1b[31m[red]x[/red]\n", b"x")
    for command in (["list"], ["show", image_id]):
        out = run("images", *command).out
        assert r"\x1b[31m[red]x[/red]\n" in out
        assert "\x1b" not in out


def test_rename_and_delete(fake: FakeGateway, run: Run) -> None:
    image_id = fake.add_image("old", b"x")
    assert json.loads(run("images", "rename", image_id, "new", "--json").out)["name"] == "new"
    assert run("images", "delete", image_id).status == 1
    assert fake.images[image_id].state == "complete"
    ended = run("images", "delete", image_id, "--yes", "--json")
    assert json.loads(ended.out) == {"imageId": image_id, "deleted": True}
    assert fake.images[image_id].state == "deleted"


def test_deltas_are_deleted_with_their_image_on_demand_only(fake: FakeGateway, run: Run) -> None:
    image_id = fake.add_image("base", b"x")
    delete = fake.delete

    def delete_with_deltas(asked_id: str, given: dict[str, str]) -> object:
        if given.get("cascade") != "true":
            return 409, "HAS_DELTAS", "the image has 2 deltas"
        return delete(asked_id, given)

    fake.delete = delete_with_deltas
    ended = run("images", "delete", image_id, "--yes")
    assert (ended.status, fake.images[image_id].state) == (1, "complete")
    assert "the image has 2 deltas" in ended.err
    assert f"image-gateway delta list --image {image_id}" in ended.err
    assert "give --cascade" in ended.err
    assert run("images", "delete", image_id, "--yes", "--cascade").status == 0
    assert fake.images[image_id].state == "deleted"


def test_an_id_is_never_a_path(fake: FakeGateway, run: Run) -> None:
    ended = run("images", "show", "../../secrets?x=1")
    assert ended.status == 1
    assert "no such image" in ended.err


def test_a_blip_is_waited_for(fake: FakeGateway, run: Run) -> None:
    fake.fail("page", Fault(503, {"Retry-After": "0"}))
    assert run("images", "list").status == 0


@pytest.mark.parametrize("command", [["upload"], ["download"], ["images"], ["share"]])
def test_help_tells_the_exit_statuses(run: Run, command: list[str]) -> None:
    out = " ".join(run(*command, "--help").out.split())
    assert "75 temporary failure" in out
    assert "130 interrupted" in out
