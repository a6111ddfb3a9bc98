"""Shares with users: who reads by them, how they are listed, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support.leasing import outcome, read
from tests.support.world import OWNER, Image, World

pytestmark = pytest.mark.database


def shares(world: World, image: Image) -> list[tuple[str, str]]:
    found = world.request("GET", image.path("shares")).get_json()["shares"]
    return [(share["user"], share["permission"]) for share in found]


def unshare(world: World, image: Image, user: str, *, by: str = OWNER) -> TestResponse:
    return world.request("DELETE", image.path("shares"), user=by, query_string={"user": user})


def reads(world: World, image: Image, user: str | None) -> int:
    return world.request("GET", image.path("range"), user=user).status_code


def test_a_share_lets_in_and_is_taken_back(world: World, image: Image) -> None:
    assert reads(world, image, "bob") == 403
    response = world.request("POST", image.path("shares"), json={"user": "bob"})
    share = response.get_json()
    assert (share["user"], share["permission"]) == ("bob", "read")
    assert world.request("GET", f"/v1/images/{image.image_id}").get_json()["visibility"] == "shared"
    assert reads(world, image, "bob") == 200
    for _ in range(2):
        assert outcome(unshare(world, image, "bob")) == (200, None)
        assert reads(world, image, "bob") == 403
    assert shares(world, image) == []


def test_sharing_again_changes_the_permission(world: World, image: Image) -> None:
    for permission in ("read", "write", "read"):
        world.share_with(image, "bob", permission)
        assert shares(world, image) == [("bob", permission)]
        lease = world.request(
            "POST", "/v1/leases", user="bob", json={"imageId": image.image_id, "scopes": ["disk:write"]}
        )
        assert lease.status_code == (200 if permission == "write" else 403)


def test_a_lease_to_write_ends_for_one_who_only_reads_now(world: World, image: Image) -> None:
    """There is nothing to write to yet; what it reads by is still allowed."""
    world.share_with(image, "bob", "write")
    lease = world.make_lease(image, user="bob", scopes=["disk:read", "disk:write"])
    world.share_with(image, "bob", "read")
    assert read(world, lease["token"], "path", image).status_code == 200


@pytest.mark.parametrize("user", ["bob/../alice", "büro", "a b", "?&=#%", "u" * 256, "*"])
def test_any_user_can_be_named(world: World, image: Image, user: str) -> None:
    world.share_with(image, user)
    assert shares(world, image) == [(user, "read")]
    header = user.encode().decode("latin-1")
    assert world.request("GET", image.path("range"), user=header).status_code == 200
    assert unshare(world, image, user).status_code == 200
    assert shares(world, image) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": OWNER},
        {"user": ""},
        {"user": None},
        {"user": 5},
        {"user": " bob"},
        {"user": "bob\n"},
        {"user": "a\x00b"},
        {"user": "\ud800"},
        {"user": "u" * 257},
        {"user": "bob", "permission": "own"},
        {"user": "bob", "permission": None},
        {"user": "bob", "permission": []},
    ],
    ids=str,
)
def test_what_is_no_share(world: World, image: Image, body: dict[str, Any]) -> None:
    assert outcome(world.request("POST", image.path("shares"), json=body)) == (400, "BAD_REQUEST")
    assert shares(world, image) == []
    assert world.request("GET", f"/v1/images/{image.image_id}").get_json()["visibility"] == "private"


@pytest.mark.parametrize("query", ["", "user=", "user=" + "u" * 257])
def test_whom_to_take_it_from_must_be_named(world: World, image: Image, query: str) -> None:
    response = world.request("DELETE", image.path("shares"), query_string=query)
    assert outcome(response) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("query", ["user=%00", "user=a%00b"])
def test_nobody_is_called_nul(world: World, image: Image, query: str) -> None:
    assert world.request("DELETE", image.path("shares"), query_string=query).status_code in (200, 400)
    listed = world.request("GET", image.path("shares"), query_string=query.replace("user", "cursor"))
    assert listed.status_code in (200, 400)


def test_shares_in_pages(world: World, image: Image) -> None:
    users = [f"user-{number:02d}" for number in range(7)]
    for user in reversed(users):
        world.share_with(image, user)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = world.request("GET", image.path("shares"), query_string=query).get_json()
        seen += [share["user"] for share in page["shares"]]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert seen == users


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "cursor=" + "x" * 513])
def test_odd_pages(world: World, image: Image, query: str) -> None:
    for route in ("shares", "share-links"):
        response = world.request("GET", image.path(route), query_string=query)
        assert outcome(response) == (400, "BAD_REQUEST")


def test_what_others_share_is_listed(world: World) -> None:
    mine, theirs, hidden = (world.make_image(b"x", owner) for owner in ("list-bob", "list-ann", "list-ann"))
    for image in (theirs, hidden):
        body = {"user": "list-bob"}
        assert world.request("POST", image.path("shares"), user="list-ann", json=body).status_code == 200
    world.request("PATCH", f"/v1/images/{hidden.image_id}", user="list-ann", json={"visibility": "private"})

    def listed(query: str) -> list[str]:
        found = world.request("GET", "/v1/images", user="list-bob", query_string=query).get_json()
        return [image["imageId"] for image in found["images"]]

    assert listed("") == listed("shared=false") == [mine.image_id]
    assert listed("shared=true") == [theirs.image_id]
    unshare(world, theirs, "list-bob", by="list-ann")
    assert listed("shared=true") == []
    wrong = world.request("GET", "/v1/images", query_string="shared=yes")
    assert outcome(wrong) == (400, "BAD_REQUEST")


def test_what_is_shared_comes_in_pages(world: World) -> None:
    made = [world.make_image(b"x", "page-ann") for _ in range(5)]
    for image in made:
        world.request("POST", image.path("shares"), user="page-ann", json={"user": "page-bob"})
    seen: list[str] = []
    query = {"shared": "true", "limit": "2"}
    while True:
        page = world.request("GET", "/v1/images", user="page-bob", query_string=query).get_json()
        seen += [image["imageId"] for image in page["images"]]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert sorted(seen) == sorted(image.image_id for image in made)


def test_private_takes_readers_out_and_shared_lets_them_back(world: World, image: Image) -> None:
    world.share_with(image, "bob")
    for visibility, status in [("private", 403), ("shared", 200), ("public", 200), ("private", 403)]:
        world.show_to(image, visibility)
        assert reads(world, image, "bob") == status
        assert shares(world, image) == [("bob", "read")]


def test_public_is_for_everyone(world: World, image: Image) -> None:
    world.show_to(image, "public")
    assert [reads(world, image, user) for user in ("bob", None)] == [200, 200]
    world.share_with(image, "bob")
    assert world.request("GET", f"/v1/images/{image.image_id}").get_json()["visibility"] == "public"
    world.show_to(image, "shared")
    assert [reads(world, image, user) for user in ("bob", "eve", None)] == [200, 403, 401]


def test_an_image_is_shared_before_it_is_complete(world: World) -> None:
    image_id, upload_id = world.begin()
    body = {"user": "bob"}
    assert world.request("POST", f"/v1/images/{image_id}/shares", json=body).status_code == 200
    path = f"/v1/images/{image_id}/range"
    assert outcome(world.request("GET", path, user="bob")) == (409, "INVALID_STATE")
    etag = world.put_part(image_id, upload_id, 1, b"data")
    world.complete(image_id, upload_id, [(1, etag)])
    assert world.request("GET", path, user="bob").data == b"data"
