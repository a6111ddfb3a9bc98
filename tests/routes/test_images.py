"""Lists, records, changes and deletion of images, and what they count for."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from image_gateway.errors import StoreUnavailable
from tests.support.world import Image, World

pytestmark = pytest.mark.database


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(bytes(1024))


def create(world: World, **body: Any) -> str:
    response = world.request("POST", "/v1/images", json=body)
    assert response.status_code == 200
    return response.get_json()["imageId"]


def record(world: World, image_id: str) -> dict[str, Any]:
    return world.request("GET", f"/v1/images/{image_id}").get_json()


def test_a_new_image_is_what_was_said_of_it(world: World) -> None:
    sha256 = "AB" * 32
    image_id = create(world, name="Windows 95", kind="iso", sizeBytes=10, sha256=sha256, filename="x.img")
    shown = record(world, image_id)
    assert (shown["name"], shown["kind"], shown["sizeBytes"], shown["sha256"]) == (
        "Windows 95",
        "iso",
        10,
        sha256.lower(),
    )
    assert (shown["state"], shown["visibility"], shown["size"], shown["etag"]) == (
        "uploading",
        "private",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("body", "name", "kind"),
    [
        ({}, "disk.img", "disk"),
        ({"filename": "/home/me/win.ISO"}, "win.ISO", "iso"),
        ({"filename": "C:\\disks\\win.img"}, "win.img", "disk"),
        ({"name": "a.iso"}, "a.iso", "iso"),
        ({"name": "a.iso", "kind": "disk"}, "a.iso", "disk"),
        ({"filename": "///"}, "disk.img", "disk"),
        ({"name": None, "kind": None, "sizeBytes": None, "sha256": None}, "disk.img", "disk"),
    ],
)
def test_name_and_kind_are_guessed(world: World, body: dict[str, Any], name: str, kind: str) -> None:
    shown = record(world, create(world, **body))
    assert (shown["name"], shown["kind"]) == (name, kind)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 5}, "name"),
        ({"kind": "tape"}, "kind"),
        ({"sizeBytes": -1}, "sizeBytes"),
        ({"sizeBytes": "5"}, "sizeBytes"),
        ({"sizeBytes": True}, "sizeBytes"),
        ({"sizeBytes": 1.5}, "sizeBytes"),
        ({"sizeBytes": 10_000 * 5 * 2**30 + 1}, "sizeBytes"),
        ({"sha256": "ab"}, "sha256"),
        ({"sha256": "g" * 64}, "sha256"),
    ],
    ids=str,
)
def test_a_bad_field_of_a_new_image_names_itself(world: World, body: dict[str, Any], field: str) -> None:
    response = world.request("POST", "/v1/images", json=body)
    assert response.status_code == 400
    assert response.get_json()["error"]["message"].startswith(field)
    assert world.request("GET", "/v1/images").get_json() == {"images": []}


def test_the_smaller_store_limit_holds(world: World) -> None:
    small = world.with_settings(s3_max_object_bytes=1000)
    assert small.request("POST", "/v1/images", json={"sizeBytes": 1000}).status_code == 200
    assert small.request("POST", "/v1/images", json={"sizeBytes": 1001}).status_code == 400


def test_a_complete_image(world: World, image: Image) -> None:
    shown = record(world, image.image_id)
    assert (shown["state"], shown["size"], shown["etag"]) == ("complete", 1024, image.etag)
    assert (shown["lastModified"], shown["chunked"]) == (image.last_modified, False)
    world.publish(image, 512)
    published = record(world, image.image_id)
    assert published["chunked"] is True
    assert len(published["sha256"]) == 64


def test_pages(world: World) -> None:
    created = [create(world, name=f"disk {number}") for number in range(5)]
    listed: list[str] = []
    path = "/v1/images?limit=2"
    while path:
        page = world.request("GET", path).get_json()
        listed += [item["imageId"] for item in page["images"]]
        path = f"/v1/images?limit=2&cursor={page['nextCursor']}" if "nextCursor" in page else ""
    assert sorted(listed) == sorted(created)
    assert world.request("GET", "/v1/images", user="bob").get_json() == {"images": []}


def test_filters(world: World, image: Image) -> None:
    other = create(world, name="Another Disk")
    for query, expected in [
        ("state=complete", [image.image_id]),
        ("state=uploading", [other]),
        ("name=another", [other]),
        ("name=nothing", []),
    ]:
        page = world.request("GET", f"/v1/images?{query}").get_json()
        assert [item["imageId"] for item in page["images"]] == expected


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=٣",
        "state=gone",
        "name=",
        "cursor=x",
        "cursor=YWJj",
        "cursor=%00",
    ],
)
def test_a_bad_query_names_itself(world: World, query: str) -> None:
    response = world.request("GET", f"/v1/images?{query}")
    assert response.status_code == 400
    assert response.get_json()["error"]["message"].startswith(query.split("=")[0])


def test_rename_and_show(world: World, image: Image) -> None:
    path = f"/v1/images/{image.image_id}"
    before = world.request("GET", path).headers["ETag"]
    changed = world.request("PATCH", path, json={"name": "new"}, headers={"If-Match": before})
    assert (changed.status_code, changed.get_json()["name"]) == (200, "new")
    assert changed.headers["ETag"] != before
    stale = world.request("PATCH", path, json={"visibility": "public"}, headers={"If-Match": before})
    assert (stale.status_code, stale.headers["ETag"]) == (412, changed.headers["ETag"])
    assert world.request("PATCH", path, json={"visibility": "public"}).get_json()["visibility"] == "public"
    for header in ("*", '"0", {current}'):
        current = world.request("GET", path).headers["ETag"]
        headers = {"If-Match": header.format(current=current)}
        assert world.request("PATCH", path, json={"name": "x"}, headers=headers).status_code == 200


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"visibility": "secret"}, {"name": None}, []], ids=str)
def test_a_bad_change_changes_nothing(world: World, image: Image, body: Any) -> None:
    path = f"/v1/images/{image.image_id}"
    assert world.request("PATCH", path, json=body).status_code == 400
    assert record(world, image.image_id)["name"] == "disk.img"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_only_the_owner_manages(world: World, image: Image, method: str) -> None:
    path = f"/v1/images/{image.image_id}"
    assert world.request(method, path, user="mallory", json={"name": "x"}).status_code == 403
    assert world.request(method, "/v1/images/nothing", json={"name": "x"}).status_code == 404


def objects(world: World) -> list[str]:
    return [item.key for item in world.store.list_objects("")]


def test_delete_removes_everything_and_may_be_repeated(world: World, image: Image) -> None:
    world.publish(image, 512)
    path = f"/v1/images/{image.image_id}"
    assert world.request("DELETE", path, headers={"If-Match": '"99"'}).status_code == 412
    for _ in range(2):
        assert world.request("DELETE", path).get_json() == {"ok": True}
    assert objects(world) == []
    for route in ("", "/metadata", "/range", "/stream-url", "/chunked/manifest", "/upload"):
        assert world.request("GET", path + route).status_code == 404
    assert world.request("GET", "/v1/images").get_json() == {"images": []}
    listed = world.request("GET", "/v1/images?state=deleted").get_json()["images"]
    assert [item["imageId"] for item in listed] == [image.image_id]


def test_delete_ends_an_open_upload(world: World) -> None:
    image_id, upload_id = world.begin()
    world.put_part(image_id, upload_id, 1, b"x")
    assert world.request("DELETE", f"/v1/images/{image_id}").status_code == 200
    assert list(world.store.list_uploads("")) == []
    assert world.complete(image_id, upload_id, [(1, "x")]).status_code == 404


def test_what_the_store_keeps_now_is_removed_later(
    world: World, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable("not now")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "delete", refuse)
        assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    assert objects(world) == [image.key]
    found = world.catalog.find(image.image_id)
    assert found is not None
    assert found.purged_at is None
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    assert objects(world) == []


def test_usage_without_limits(world: World, image: Image) -> None:
    create(world, sizeBytes=500)
    assert world.request("GET", "/v1/usage").get_json() == {
        "images": {"used": 2, "limit": None},
        "bytes": {"used": 1524, "limit": None},
        "bytesPerImage": {"limit": None},
    }


def test_quota_is_reserved_settled_and_given_back(world: World) -> None:
    limited = world.with_settings(quota_images=2, quota_bytes=1000, quota_bytes_per_image=900)
    refused = limited.request("POST", "/v1/images", json={"sizeBytes": 901})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (403, "QUOTA_EXCEEDED")
    declared = create(limited, sizeBytes=600)
    assert limited.request("POST", "/v1/images", json={"sizeBytes": 401}).status_code == 403
    # Begun before the bytes were limited, so nobody knows its size.
    image_id, upload_id = world.begin()
    assert limited.request("POST", "/v1/images", json={"sizeBytes": 1}).status_code == 403
    etag = limited.put_part(image_id, upload_id, 1, b"x" * 401)
    full = limited.complete(image_id, upload_id, [(1, etag)])
    assert (full.status_code, full.get_json()["error"]["code"]) == (403, "QUOTA_EXCEEDED")
    assert limited.request("DELETE", f"/v1/images/{declared}").status_code == 200
    assert limited.complete(image_id, upload_id, [(1, etag)]).status_code == 200
    assert limited.request("GET", "/v1/usage").get_json()["bytes"] == {"used": 401, "limit": 1000}
    uploads = [upload.key for upload in limited.store.list_uploads("")]
    assert uploads == []


@pytest.mark.parametrize("quota", [{"quota_bytes": 1000}, {"quota_bytes_per_image": 1000}], ids=str)
def test_nobody_gets_around_a_byte_quota_by_declaring_nothing(world: World, quota: dict[str, int]) -> None:
    limited = world.with_settings(**quota)
    for body in ({}, {"sizeBytes": None}, None):
        refused = limited.request("POST", "/v1/images", **({} if body is None else {"json": body}))
        assert refused.status_code == 400
        assert refused.get_json()["error"]["message"].startswith("sizeBytes")
    assert list(limited.store.list_uploads("")) == []
    assert limited.request("GET", "/v1/usage").get_json()["images"]["used"] == 0
    assert limited.request("POST", "/v1/images", json={"sizeBytes": 1000}).status_code == 200


def test_a_record_tells_what_the_caller_is_to_the_image(world: World, image: Image) -> None:
    world.share_with(image, "bob")
    world.share_with(image, "carol", "write")
    path = f"/v1/images/{image.image_id}"

    def access(user: str) -> str:
        return str(world.request("GET", path, user=user).get_json()["access"])

    assert [access(user) for user in ("alice", "bob", "carol")] == ["owner", "reader", "writer"]
    world.show_to(image, "public")
    assert access("bob") == "reader"
    assert access("dave") == "anyone"
    assert world.request("GET", path, user=None).get_json()["access"] == "anyone"
    assert world.request("PATCH", path, json={"name": "a"}).get_json()["access"] == "owner"
    signed_in = world.with_provider()
    assert signed_in.bearing("admin", "GET", path).get_json()["access"] == "admin"
    assert signed_in.bearing("user:alice", "GET", path).get_json()["access"] == "owner"


def test_a_list_tells_what_the_caller_is_to_each_image(world: World) -> None:
    readable, writable = world.make_image(bytes(512)), world.make_image(bytes(512))
    world.share_with(readable, "bob")
    world.share_with(writable, "bob", "write")
    world.share_with(writable, "root", "write")

    def listed(answer: TestResponse) -> dict[str, str]:
        return {item["imageId"]: item["access"] for item in answer.get_json()["images"]}

    assert set(listed(world.request("GET", "/v1/images")).values()) == {"owner"}
    assert listed(world.request("GET", "/v1/images?shared=true", user="bob")) == {
        readable.image_id: "reader",
        writable.image_id: "writer",
    }
    shared = world.with_provider().bearing("admin", "GET", "/v1/images?shared=true")
    assert listed(shared) == {writable.image_id: "admin"}
