"""The activity of an image: what its owner finds in it, and what never gets into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from image_gateway.domain.audit import AuditEntry, AuditEvent
from image_gateway.errors import CatalogUnavailable
from tests.support.contract import load_contract
from tests.support.leasing import outcome, redeem
from tests.support.world import OWNER, Image, World

pytestmark = pytest.mark.database

Told = tuple[str, str | None, dict[str, str]]


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(bytes(1024))


def activity(world: World, image_id: str, **query: Any) -> dict[str, Any]:
    response = world.request("GET", f"/v1/images/{image_id}/activity", query_string=query)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.get_json()
    return document


def told(world: World, image_id: str) -> list[Told]:
    """The events of an image, oldest first, each with its user and details."""
    entries = activity(world, image_id)["entries"]
    return [(entry["event"], entry["user"], entry["details"]) for entry in reversed(entries)]


def since(world: World, image: Image, act: Callable[[], Any]) -> list[Told]:
    """What an act adds to the activity."""
    before = len(told(world, image.image_id))
    act()
    return told(world, image.image_id)[before:]


def test_the_contract_names_every_event() -> None:
    event = load_contract()["components"]["schemas"]["AuditEntry"]["properties"]["event"]
    assert event["examples"] == [event.value for event in AuditEvent]


def test_an_upload_is_told(world: World, image: Image) -> None:
    assert told(world, image.image_id) == [
        ("image created", OWNER, {"imageName": "disk.img", "format": "raw"}),
        ("upload completed", OWNER, {"size": "1024"}),
    ]
    assert since(world, image, lambda: world.complete(image.image_id, image.upload_id, [(1, "x")])) == []


def test_an_abort_is_told_once(world: World) -> None:
    image_id, _ = world.begin()
    for _ in range(2):
        assert world.request("DELETE", f"/v1/images/{image_id}/upload").status_code == 200
    assert told(world, image_id)[1:] == [("upload aborted", OWNER, {})]


@pytest.mark.parametrize(
    ("declared", "mismatch"), [({"sizeBytes": 5}, "size"), ({"sizeBytes": 4, "sha256": "0" * 64}, "sha256")]
)
def test_an_upload_that_is_not_what_was_declared_is_told(
    world: World, declared: dict[str, Any], mismatch: str
) -> None:
    plan = world.request("POST", "/v1/images", json=declared).get_json()
    etag = world.put_part(plan["imageId"], plan["uploadId"], 1, b"data")
    # Joined before it was asked: otherwise a wrong size is noticed by its parts, and the upload stays open.
    world.clients.requests.complete_multipart_upload(
        Bucket=world.settings.s3_bucket,
        Key=world.key_of(plan["imageId"]),
        UploadId=plan["uploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
    )
    assert world.complete(plan["imageId"], plan["uploadId"], [(1, etag)]).status_code == 409
    assert told(world, plan["imageId"])[1:] == [("upload failed", None, {"mismatch": mismatch})]


def test_imports_and_empty_disks_are_told(world: World) -> None:
    url = "https://example.org/images/disk.qcow2?signature=secret-signature"
    made = world.request("POST", "/v1/images/import", json={"url": url, "format": "qcow2"}).get_json()
    details = {"imageName": "disk.qcow2", "format": "qcow2", "job": made["job"]["jobId"]}
    assert told(world, made["imageId"]) == [("import requested", OWNER, details)]
    empty = world.request("POST", "/v1/images/empty", json={"sizeBytes": 512}).get_json()
    details = {"imageName": "disk.img", "format": "raw", "job": empty["job"]["jobId"]}
    assert told(world, empty["imageId"]) == [("empty disk requested", OWNER, details)]
    for _ in range(2):
        world.request("DELETE", f"/v1/jobs/{empty['job']['jobId']}")
    cancelled = ("job cancelled", OWNER, {"job": empty["job"]["jobId"], "kind": "convert"})
    assert told(world, empty["imageId"])[1:] == [cancelled]


def test_changes_are_told_with_before_and_after(world: World, image: Image) -> None:
    path = f"/v1/images/{image.image_id}"

    def change(**body: str) -> list[Told]:
        return since(world, image, lambda: world.request("PATCH", path, json=body))

    renamed = ("image renamed", OWNER, {"before": "disk.img", "after": "new"})
    shown = ("visibility changed", OWNER, {"before": "private", "after": "public"})
    assert change(name="new", visibility="public") == [renamed, shown]
    assert change(name="new", visibility="public") == []
    assert change(name="") == []
    stale = {"json": {"name": "stale"}, "headers": {"If-Match": '"1"'}}
    assert since(world, image, lambda: world.request("PATCH", path, **stale)) == []


def test_shares_are_told(world: World, image: Image) -> None:
    path = image.path("shares")
    made_shared = ("visibility changed", OWNER, {"before": "private", "after": "shared"})
    shared = ("shared", OWNER, {"withUser": "bob", "permission": "read"})
    assert since(world, image, lambda: world.share_with(image, "bob")) == [shared, made_shared]
    shared = ("shared", OWNER, {"withUser": "bob", "permission": "write"})
    assert since(world, image, lambda: world.share_with(image, "bob", "write")) == [shared]

    def unshare() -> None:
        assert world.request("DELETE", path, query_string={"user": "bob"}).status_code == 200

    assert since(world, image, unshare) == [("share revoked", OWNER, {"withUser": "bob"})]
    assert since(world, image, unshare) == []


def test_links_are_told_without_their_tokens(world: World, image: Image) -> None:
    before = len(told(world, image.image_id))
    link_id, lease = redeem(world, image)
    for _ in range(2):
        world.request("DELETE", image.path(f"share-links/{link_id}"))
    assert told(world, image.image_id)[before:] == [
        ("share link created", OWNER, {"link": link_id}),
        ("visibility changed", OWNER, {"before": "private", "after": "shared"}),
        ("share link redeemed", None, {"link": link_id}),
        ("lease created", None, {"link": link_id, "lease": lease["leaseId"]}),
        ("share link revoked", OWNER, {"link": link_id}),
    ]
    shown = world.request("GET", image.path("activity")).text
    assert lease["token"] not in shown
    assert "igs_" not in shown
    assert "igl~" not in shown


def test_leases_are_told_when_made_and_revoked_and_not_when_used(world: World, image: Image) -> None:
    before = len(told(world, image.image_id))
    lease = world.make_lease(image)
    for _ in range(3):
        assert world.request("GET", f"/v1/l/{lease['token']}/disk.img", user=None).status_code == 200
        assert world.request("GET", image.path("range")).status_code == 200
        assert world.request("POST", f"/v1/leases/{lease['leaseId']}/renew").status_code == 200
    session = {world.request("GET", image.path("stream-url")).get_json()["auth"]["leaseId"] for _ in range(3)}
    for _ in range(2):
        world.request("DELETE", f"/v1/leases/{lease['leaseId']}")
    assert told(world, image.image_id)[before:] == [
        ("lease created", OWNER, {"lease": lease["leaseId"]}),
        ("lease created", OWNER, {"lease": session.pop()}),
        ("lease revoked", OWNER, {"lease": lease["leaseId"]}),
    ]
    assert not session


@pytest.mark.parametrize("kind", ["publish", "verify"])
def test_jobs_are_told_when_they_are_queued(world: World, image: Image, kind: str) -> None:
    if kind == "verify":
        world.publish(image, 512)
    before = len(told(world, image.image_id))
    jobs = {world.request("POST", image.path(kind)).get_json()["jobId"] for _ in range(2)}
    assert told(world, image.image_id)[before:] == [(f"{kind} requested", OWNER, {"job": jobs.pop()})]
    assert not jobs


def test_what_an_admin_did_is_told_but_not_what_an_admin_read(world: World, image: Image) -> None:
    signed_in = world.with_provider()
    before = len(told(world, image.image_id))
    lease = world.make_lease(image)["leaseId"]
    for route in ("range", "metadata"):
        assert signed_in.bearing("admin", "GET", image.path(route)).status_code == 200
    made = signed_in.bearing("admin", "POST", "/v1/leases", json={"imageId": image.image_id}).get_json()
    assert signed_in.bearing("admin", "GET", f"/v1/l/{made['token']}/disk.img").status_code == 200
    stale = signed_in.bearing("admin", "DELETE", image.path("")[:-1], headers={"If-Match": '"99"'})
    assert stale.status_code == 412
    for path in (f"/v1/leases/{lease}", f"/v1/leases/{made['leaseId']}", f"/v1/images/{image.image_id}"):
        assert signed_in.bearing("admin", "DELETE", path).status_code == 200
    assert told(world, image.image_id)[before + 1 :] == [
        ("lease created", "root", {"role": "admin", "lease": made["leaseId"]}),
        ("lease revoked", "root", {"role": "admin", "lease": lease}),
        ("lease revoked", "root", {"lease": made["leaseId"]}),
        ("image deleted", "root", {"role": "admin"}),
    ]


def test_the_owner_sees_the_activity_of_a_deleted_image(world: World, image: Image) -> None:
    for _ in range(2):
        assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    events = [event for event, *_ in told(world, image.image_id)]
    assert events == ["image created", "upload completed", "image deleted"]
    assert outcome(world.request("GET", image.path("activity"), user="bob")) == (404, "NOT_FOUND")


def test_pages(world: World, image: Image) -> None:
    for number in range(5):
        world.request("PATCH", f"/v1/images/{image.image_id}", json={"name": f"name {number}"})
    whole = activity(world, image.image_id)["entries"]
    assert len(whole) == 7
    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = activity(world, image.image_id, **query)
        seen += page["entries"]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert seen == whole
    assert [entry["created"] for entry in whole] == sorted((e["created"] for e in whole), reverse=True)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=%00", "cursor="])
def test_a_bad_query_names_itself(world: World, image: Image, query: str) -> None:
    response = world.request("GET", image.path("activity"), query_string=query)
    assert outcome(response) == (400, "BAD_REQUEST")
    assert response.get_json()["error"]["message"].startswith(query.split("=")[0])


def test_what_happened_counts_even_if_it_cannot_be_noted(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: AuditEntry) -> None:
        raise CatalogUnavailable("away")

    monkeypatch.setattr(world.catalog.audit_entries, "add", away)
    image = world.make_image(bytes(1024))
    world.share_with(image, "bob")
    world.make_lease(image, user="bob")
    redeem(world, image)
    assert world.request("POST", image.path("publish")).status_code == 202
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    assert told(world, image.image_id) == []
    lost = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(lost) == 10
    assert all(image.image_id in line for line in lost)
