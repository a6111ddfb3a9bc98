"""What one user, or one image, may have at most: open uploads, shares, links, part URLs, time."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from image_gateway.services.sweeping import Sweeper
from tests.support.clock import Clock
from tests.support.leasing import outcome
from tests.support.world import OWNER, World

pytestmark = pytest.mark.database

HOUR = 3600


def test_open_uploads_are_capped_per_user(world: World) -> None:
    capped = world.with_settings(quota_open_uploads=3, rate_limits=False)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: capped.request("POST", "/v1/images"), range(8)))
    assert sorted(answer.status_code for answer in made) == [200] * 3 + [403] * 5
    refused = next(answer for answer in made if answer.status_code == 403)
    assert outcome(refused) == (403, "QUOTA_EXCEEDED")
    assert "3 uploads may be open" in refused.get_json()["error"]["message"]
    assert len(list(capped.store.list_uploads(""))) == 3
    assert capped.request("POST", "/v1/images", user="bob").status_code == 200
    first = next(answer for answer in made if answer.status_code == 200).get_json()["imageId"]
    assert capped.request("DELETE", f"/v1/images/{first}/upload").status_code == 200
    assert capped.request("POST", "/v1/images").status_code == 200


def test_shares_of_an_image_are_capped(world: World) -> None:
    capped = world.with_settings(quota_shares_per_image=2)
    image = capped.make_image(b"x")
    for user in ("bob", "carol", "bob"):
        capped.share_with(image, user)
    refused = capped.request("POST", image.path("shares"), json={"user": "dave"})
    assert outcome(refused) == (403, "QUOTA_EXCEEDED")
    assert capped.request("GET", image.path("range"), user="dave").status_code == 403
    capped.share_with(image, "carol", "write")
    capped.request("DELETE", image.path("shares"), query_string={"user": "bob"})
    capped.share_with(image, "dave")


def test_links_of_an_image_are_capped_while_they_hold(world: World, clock: Clock) -> None:
    capped = world.with_settings(quota_links_per_image=2, clock=clock)
    image = capped.make_image(b"x")
    path = image.path("share-links")
    short = capped.request("POST", path, json={"ttlSeconds": 60}).get_json()
    assert capped.request("POST", path).status_code == 200
    assert outcome(capped.request("POST", path)) == (403, "QUOTA_EXCEEDED")
    clock.now += 61
    long = capped.request("POST", path).get_json()
    assert long["linkId"] != short["linkId"]
    assert outcome(capped.request("POST", path)) == (403, "QUOTA_EXCEEDED")
    capped.request("DELETE", f"{path}/{long['linkId']}")
    assert capped.request("POST", path).status_code == 200


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_upload_ends_however_often_its_urls_are_asked_for(world: World, clock: Clock) -> None:
    limited = world.with_settings(upload_ttl_seconds=HOUR, upload_max_seconds=3 * HOUR, clock=clock)
    image_id, upload_id = limited.begin()
    body = {"uploadId": upload_id, "partNumber": 1}
    path = f"/v1/images/{image_id}"
    for _ in range(3):
        clock.now += 0.9 * HOUR
        signed = limited.request("POST", f"{path}/upload-url", json=body)
        assert signed.status_code == 200
    # The last URL does not outlive the upload.
    assert "X-Amz-Expires=1080&" in signed.get_json()["url"]
    sweeper = Sweeper(limited.catalog, limited.store, limited.settings.image_base_path, clock)
    assert sweeper.sweep(older_than=timedelta(days=9)).expired_uploads == 0
    clock.now += 0.31 * HOUR
    for method, route, options in [
        ("POST", "upload-url", {"json": body}),
        ("POST", "upload-urls", {"json": {"uploadId": upload_id, "partNumbers": [1]}}),
        ("GET", "upload", {}),
    ]:
        refused = limited.request(method, f"{path}/{route}", **options)
        assert outcome(refused) == (409, "INVALID_STATE")
        assert "create a new image" in refused.get_json()["error"]["message"]
    assert sweeper.sweep(older_than=timedelta(days=9)).expired_uploads == 1
    assert list(limited.store.list_uploads("")) == []


def test_part_urls_are_limited_by_their_number(world: World) -> None:
    limited = world.with_settings(rate_limit_part_urls="1000/minute")
    image_id, upload_id = limited.begin()
    path = f"/v1/images/{image_id}"
    many = {"uploadId": upload_id, "partNumbers": list(range(1, 501))}
    statuses = [limited.request("POST", f"{path}/upload-urls", json=many).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    one = limited.request("POST", f"{path}/upload-url", json={"uploadId": upload_id, "partNumber": 1})
    assert outcome(one) == (429, "TOO_MANY_REQUESTS")
    assert int(one.headers["Retry-After"]) >= 1
    other_id, other_upload = limited.begin("bob")
    body = {"uploadId": other_upload, "partNumbers": [1]}
    other = limited.request("POST", f"/v1/images/{other_id}/upload-urls", json=body, user="bob")
    assert other.status_code == 200


def test_completions_are_limited(world: World) -> None:
    limited = world.with_settings(rate_limit_complete="2/minute")
    image_id, upload_id = limited.begin()
    answers = [limited.complete(image_id, upload_id, [(1, "x")]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]


def test_all_addresses_of_a_network_are_one_client(world: World) -> None:
    limited = world.with_settings(rate_limit_redeem="3/minute")
    body = {"token": "igs_" + "x" * 43}

    def redeem(address: str) -> int:
        return limited.request(
            "POST", "/v1/share-links/redeem", user=None, json=body, environ_base={"REMOTE_ADDR": address}
        ).status_code

    assert [redeem(f"2001:db8:1:2::{number:x}") for number in range(1, 6)] == [404] * 3 + [429] * 2
    assert redeem("2001:db8:1:3::1") == 404
    assert [redeem("192.0.2.1"), redeem("192.0.2.2")] == [404, 404]


RIGHT = hashlib.sha256(bytes(4096)).hexdigest()


@pytest.mark.parametrize(
    ("sha256", "allowed"),
    # Who finds too many waiting is told to try again.
    [(None, {200}), (RIGHT, {200}), ("0" * 64, {409, 503})],
    ids=["no hash", "the right hash", "a wrong hash"],
)
def test_sixteen_completions_at_once_have_one_outcome(
    world: World, sha256: str | None, allowed: set[int]
) -> None:
    body = {"sizeBytes": 4096, **({} if sha256 is None else {"sha256": sha256})}
    plan = world.request("POST", "/v1/images", json=body).get_json()
    world.put_part(plan["imageId"], plan["uploadId"], 1, bytes(4096))
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda _: world.request(
                    "POST",
                    f"/v1/images/{plan['imageId']}/complete",
                    json={"uploadId": plan["uploadId"]},
                    user=OWNER,
                ),
                range(16),
            )
        )
    assert {answer.status_code for answer in answers} <= allowed
    again = world.complete(plan["imageId"], plan["uploadId"], [(1, "x")])
    assert again.status_code == min(allowed)
