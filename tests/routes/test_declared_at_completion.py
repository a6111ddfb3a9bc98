"""A SHA-256 that is declared when an upload is completed: recorded, and checked like one of the creation."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from werkzeug.test import TestResponse

from image_gateway.errors import StoreUnavailable
from tests.support.leasing import outcome
from tests.support.records import NOW
from tests.support.world import OWNER, World

pytestmark = pytest.mark.database

DATA = b"data"
GOOD, BAD = hashlib.sha256(DATA).hexdigest(), "0" * 64


def begin(world: World, **body: Any) -> dict[str, Any]:
    """An image with its one part in the store."""
    plan: dict[str, Any] = world.request("POST", "/v1/images", json=body).get_json()
    record = world.catalog.find(plan["imageId"])
    assert record is not None
    world.clients.requests.upload_part(
        Bucket=world.settings.s3_bucket,
        Key=record.upload_key,
        UploadId=plan["uploadId"],
        PartNumber=1,
        Body=DATA,
    )
    return plan


def complete(world: World, plan: dict[str, Any], sha256: Any = None, **body: Any) -> TestResponse:
    body = {"uploadId": plan["uploadId"], "sha256": sha256, **body}
    return world.request("POST", f"/v1/images/{plan['imageId']}/complete", json=body)


def show(world: World, plan: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = world.request("GET", f"/v1/images/{plan['imageId']}").get_json()
    return document


def declared(world: World, plan: dict[str, Any]) -> str | None:
    record = world.catalog.find(plan["imageId"])
    assert record is not None
    return record.plan.sha256


@pytest.mark.parametrize(
    "creation", [{}, {"sha256": GOOD}, {"sha256": GOOD.upper()}, {"sizeBytes": 4}], ids=str
)
@pytest.mark.parametrize("sha256", [GOOD, GOOD.upper()])
def test_the_hash_of_the_bytes_completes_the_image(
    world: World, creation: dict[str, Any], sha256: str
) -> None:
    plan = begin(world, **creation)
    first = complete(world, plan, sha256)
    assert first.status_code == 200
    assert (show(world, plan)["state"], show(world, plan)["sha256"]) == ("complete", GOOD)
    for again in (sha256, None):
        repeated = complete(world, plan, again)
        assert (repeated.status_code, repeated.get_json()) == (200, first.get_json())


def test_another_hash_fails_the_image_as_one_of_the_creation_does(world: World) -> None:
    early, late = begin(world, sha256=BAD), begin(world)
    refused = complete(world, late, BAD)
    assert outcome(refused) == (409, "INVALID_STATE")
    assert refused.get_json() == complete(world, early).get_json()
    assert show(world, late)["state"] == "failed"
    assert outcome(complete(world, late, BAD)) == (409, "INVALID_STATE")


@pytest.mark.parametrize("state", ["uploading", "complete"])
def test_a_hash_that_differs_from_the_declared_one_changes_nothing(world: World, state: str) -> None:
    plan = begin(world, sha256=GOOD)
    if state == "complete":
        assert complete(world, plan).status_code == 200
    before = show(world, plan)
    refused = complete(world, plan, BAD)
    assert outcome(refused) == (400, "BAD_REQUEST")
    assert refused.get_json()["error"]["message"].startswith("sha256")
    assert show(world, plan) == before
    assert complete(world, plan, GOOD).status_code == 200


def test_a_hash_that_comes_too_late_is_refused(world: World) -> None:
    """Nothing was compared with it, and nobody is to believe so."""
    plan = begin(world)
    assert complete(world, plan).status_code == 200
    before = show(world, plan)
    for sha256 in (GOOD, BAD):
        assert outcome(complete(world, plan, sha256)) == (409, "INVALID_STATE")
    assert show(world, plan) == before
    assert (before["state"], before["sha256"]) == ("complete", None)


def test_a_large_image_is_not_read_to_check_it(world: World) -> None:
    """Its hash is recorded as declared, for those who read or publish it."""
    lazy = world.with_settings(sha256_check_max_bytes=3)
    plan = begin(lazy)
    assert complete(lazy, plan, BAD).status_code == 200
    assert (show(lazy, plan)["state"], show(lazy, plan)["sha256"]) == ("complete", BAD)
    assert complete(lazy, plan, BAD).status_code == 200
    assert complete(lazy, plan, GOOD).status_code == 400
    assert lazy.request("GET", f"/v1/images/{plan['imageId']}/range").data == DATA


@pytest.mark.parametrize("sha256", ["", "ab", "g" * 64, GOOD + "0", f"{GOOD}\n", 5, True, [GOOD]], ids=repr)
def test_a_bad_hash_names_itself(world: World, sha256: Any) -> None:
    plan = begin(world)
    refused = complete(world, plan, sha256)
    assert outcome(refused) == (400, "BAD_REQUEST")
    assert refused.get_json()["error"]["message"].startswith("sha256")
    assert show(world, plan)["state"] == "uploading"


def test_a_list_that_is_refused_declares_nothing(world: World) -> None:
    """The client may send other bytes before it tries again."""
    plan = begin(world)
    assert complete(world, plan, BAD, parts=[{"partNumber": 1, "etag": "wrong"}]).status_code == 400
    assert complete(world, plan, BAD, parts=[{"partNumber": 2, "etag": "x"}]).status_code == 400
    assert declared(world, plan) is None
    assert complete(world, plan, GOOD).status_code == 200


@pytest.mark.parametrize("joined", [True, False])
def test_it_is_recorded_before_the_parts_are_joined(
    world: World, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on after the gateway died checks it."""
    plan = begin(world)
    join = world.store.complete_upload

    def die(*arguments: Any) -> None:
        assert declared(world, plan) == BAD
        if joined:
            join(*arguments)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "complete_upload", die)
        assert complete(world, plan, BAD.upper()).status_code == 500
    assert show(world, plan)["state"] == "uploading"
    if joined:
        # It finds that there is no upload any more, and completes the image.
        assert world.request("GET", f"/v1/images/{plan['imageId']}/upload").status_code == 409
    else:
        assert complete(world, plan).status_code == 409
    assert show(world, plan)["state"] == "failed"


def test_a_retry_after_the_store_was_away_may_say_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = begin(world)

    def away(*_: Any) -> None:
        raise StoreUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "complete_upload", away)
        assert complete(world, plan, GOOD).status_code == 503
    assert complete(world, plan, BAD).status_code == 400
    assert complete(world, plan, GOOD).status_code == 200


@pytest.mark.parametrize(("sha256", "status", "state"), [(GOOD, 200, "complete"), (BAD, 409, "failed")])
def test_a_request_without_a_hash_checks_what_another_declared_meanwhile(
    world: World, sha256: str, status: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = begin(world)
    join = world.store.complete_upload

    def declare(*arguments: Any) -> None:
        join(*arguments)
        assert world.catalog.declare_sha256(plan["imageId"], plan["uploadId"], sha256, NOW)

    monkeypatch.setattr(world.store, "complete_upload", declare)
    assert complete(world, plan).status_code == status
    assert (show(world, plan)["state"], show(world, plan)["sha256"]) == (state, sha256)


def test_of_two_hashes_the_first_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = begin(world)
    list_parts = world.store.list_parts

    def declare_meanwhile(*arguments: Any) -> Any:
        world.catalog.declare_sha256(plan["imageId"], plan["uploadId"], GOOD, NOW)
        return list_parts(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "list_parts", declare_meanwhile)
        assert outcome(complete(world, plan, BAD)) == (400, "BAD_REQUEST")
    assert show(world, plan)["state"] == "uploading"
    assert complete(world, plan, GOOD).status_code == 200


@pytest.mark.parametrize(("sha256", "status", "state"), [(GOOD, 200, "processing"), (BAD, 409, "failed")])
def test_for_other_formats_it_is_the_hash_of_what_was_uploaded(
    world: World, sha256: str, status: int, state: str
) -> None:
    plan = begin(world, format="qcow2")
    for _ in range(2):
        assert complete(world, plan, sha256).status_code == status
    assert (show(world, plan)["state"], show(world, plan)["sha256"]) == (state, None)
    assert declared(world, plan) == sha256


def test_only_the_owner_declares(world: World) -> None:
    plan = begin(world)
    body = {"uploadId": plan["uploadId"], "sha256": GOOD}
    path = f"/v1/images/{plan['imageId']}/complete"
    assert world.request("POST", path, json=body, user="mallory").status_code == 403
    assert world.request("POST", path, json={**body, "uploadId": "another"}, user=OWNER).status_code == 400
    assert declared(world, plan) is None
