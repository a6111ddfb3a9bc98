"""Share links: redeemed for leases, counted, expired, revoked and listed."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.models import Base
from tests.support.clock import Clock
from tests.support.leasing import SESSION, TTL, Remake, moment, outcome, read
from tests.support.world import Image, World

pytestmark = pytest.mark.database
DAY = 86_400


def make_link(world: World, image: Image, **body: Any) -> dict[str, Any]:
    response = world.request("POST", image.path("share-links"), json=body)
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    document: dict[str, Any] = response.get_json()
    return document


def links(world: World, image: Image) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.request("GET", image.path("share-links")).get_json()["shareLinks"]
    return found


def redeem(world: World, token: str, **options: Any) -> TestResponse:
    return world.request("POST", "/v1/share-links/redeem", json={"token": token}, **{"user": None, **options})


def test_a_link_lets_in_whoever_has_it(world: World, image: Image, clock: Clock) -> None:
    link = make_link(world, image)
    response = redeem(world, link["token"])
    lease = response.get_json()
    assert response.headers["Cache-Control"] == "no-store"
    assert (lease["imageId"], lease["scopes"]) == (image.image_id, ["disk:read"])
    assert (lease["name"], lease["size"]) == ("disk.img", len(image.data))
    assert moment(lease["expiresAt"]) == clock.now + TTL
    assert moment(lease["sessionEndsAt"]) == clock.now + SESSION
    assert read(world, lease["token"], "path", image).data == image.data


def test_a_links_token_is_long_random_and_shown_once(world: World, image: Image) -> None:
    made = [make_link(world, image) for _ in range(8)]
    tokens = {link["token"] for link in made}
    assert len(tokens) == 8
    for token in tokens:
        prefix, _, secret = token.partition("_")
        # 22 characters of base64 are 132 bits.
        assert (prefix, len(secret) >= 22) == ("igs", True)
    shown = world.request("GET", image.path("share-links")).text
    assert not any(token in shown for token in tokens)
    assert [link["linkId"] for link in links(world, image)] == sorted(
        (link["linkId"] for link in made), key=lambda link_id: link_id
    )
    assert set(links(world, image)[0]) == {"linkId", "created", "expiresAt", "maxUses", "uses", "label"}


def every_row(database_url: str) -> str:
    engine = open_engine(database_url)
    with engine.connect() as connection:
        rows = [
            row for table in Base.metadata.sorted_tables for row in connection.execute(select(table)).all()
        ]
    engine.dispose()
    return repr(rows)


def test_a_label_is_for_the_owner_alone(world: World, image: Image) -> None:
    label = "for <b>Bob</b> & Zoë"
    link = make_link(world, image, label=label)
    assert link["label"] == label
    (listed,) = world.request("GET", image.path("share-links")).get_json()["shareLinks"]
    assert listed["label"] == label
    assert label not in redeem(world, link["token"]).text
    assert make_link(world, image)["label"] is None
    entries = world.request("GET", image.path("activity")).get_json()["entries"]
    labels = [entry["details"].get("label") for entry in entries if entry["event"] == "share link created"]
    assert sorted(labels, key=str) == [None, label]


@pytest.mark.parametrize("label", ["", " ", "a\nb", "x" * 256, 5])
def test_what_is_no_label(world: World, image: Image, label: Any) -> None:
    response = world.request("POST", image.path("share-links"), json={"label": label})
    assert response.status_code == 400
    assert response.get_json()["error"]["message"].startswith("label: ")


def test_the_database_has_only_the_hash(world: World, image: Image) -> None:
    token = make_link(world, image)["token"]
    lease = redeem(world, token).get_json()
    held = every_row(world.settings.database_url)
    assert hashlib.sha256(token.encode()).hexdigest() in held
    for secret in (token, token.removeprefix("igs_"), lease["token"], lease["token"].split("~")[3]):
        assert secret not in held


@pytest.mark.parametrize("uses", [1, 3])
def test_uses_are_counted_exactly_also_by_many_at_once(world: World, image: Image, uses: int) -> None:
    link = make_link(world, image, maxUses=uses)
    app = world.app
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: app.test_client().post("/v1/share-links/redeem", json={"token": link["token"]}),
                range(8),
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200] * uses + [403] * (8 - uses)
    (shown,) = links(world, image)
    assert (shown["uses"], shown["maxUses"]) == (uses, uses)
    leases = [answer.get_json() for answer in answers if answer.status_code == 200]
    assert len({lease["leaseId"] for lease in leases}) == uses
    for lease in leases:
        assert read(world, lease["token"], "path", image).status_code == 200


def test_a_link_that_expires(world: World, image: Image, clock: Clock) -> None:
    link = make_link(world, image, ttlSeconds=DAY)
    assert moment(link["expiresAt"]) == clock.now + DAY
    clock.now += DAY - 1
    assert redeem(world, link["token"]).status_code == 200
    clock.now += 1
    assert outcome(redeem(world, link["token"])) == (403, "FORBIDDEN")


def test_a_link_that_is_revoked(world: World, image: Image) -> None:
    link, other = make_link(world, image), make_link(world, image)
    path = image.path(f"share-links/{link['linkId']}")
    for _ in range(2):
        assert world.request("DELETE", path).status_code == 200
    assert outcome(redeem(world, link["token"])) == (403, "FORBIDDEN")
    assert redeem(world, other["token"]).status_code == 200
    assert [found["linkId"] for found in links(world, image)] == [other["linkId"]]


@pytest.mark.parametrize("link_id", ["x", "00000000-0000-4000-8000-000000000000", "a%00b", "another image's"])
def test_a_link_of_another_image_is_none(world: World, image: Image, link_id: str) -> None:
    other = make_link(world, world.make_image(b"x"))
    named = other["linkId"] if link_id == "another image's" else link_id
    assert outcome(world.request("DELETE", image.path(f"share-links/{named}"))) == (404, "NOT_FOUND")
    assert redeem(world, other["token"]).status_code == 200


@pytest.mark.parametrize("token", ["x", "igs_", "igs_" + "A" * 43, "%", "A" * 256])
def test_no_link_has_this_token(world: World, token: str) -> None:
    assert outcome(redeem(world, token)) == (404, "NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": None}, {"token": 1}, {"token": "A" * 257}])
def test_what_is_no_token(world: World, body: dict[str, Any]) -> None:
    response = world.request("POST", "/v1/share-links/redeem", user=None, json=body)
    assert outcome(response) == (400, "BAD_REQUEST")


def test_a_links_hash_is_not_its_token(world: World, image: Image) -> None:
    digest = hashlib.sha256(make_link(world, image)["token"].encode()).hexdigest()
    assert outcome(redeem(world, digest)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {"ttlSeconds": 0},
        {"ttlSeconds": "1"},
        {"ttlSeconds": 10**12},
        {"maxUses": 0},
        {"maxUses": True},
        {"maxUses": 1.5},
        {"maxUses": 10**12},
    ],
    ids=str,
)
def test_what_is_no_link(world: World, image: Image, body: dict[str, Any]) -> None:
    assert outcome(world.request("POST", image.path("share-links"), json=body)) == (400, "BAD_REQUEST")


def test_a_link_without_a_body(world: World, image: Image) -> None:
    link = world.request("POST", image.path("share-links")).get_json()
    assert (link["expiresAt"], link["maxUses"], link["uses"]) == (None, None, 0)


def test_a_link_redeemed_too_early_keeps_its_use(world: World) -> None:
    image_id, upload_id = world.begin()
    link = world.request("POST", f"/v1/images/{image_id}/share-links", json={"maxUses": 1}).get_json()
    for _ in range(2):
        assert outcome(redeem(world, link["token"])) == (409, "INVALID_STATE")
    etag = world.put_part(image_id, upload_id, 1, b"data")
    world.complete(image_id, upload_id, [(1, etag)])
    assert redeem(world, link["token"]).status_code == 200
    assert outcome(redeem(world, link["token"])) == (403, "FORBIDDEN")


def test_a_private_images_links_sleep(world: World, image: Image) -> None:
    link = make_link(world, image, maxUses=1)
    world.show_to(image, "private")
    assert outcome(redeem(world, link["token"])) == (403, "FORBIDDEN")
    world.show_to(image, "shared")
    assert redeem(world, link["token"]).status_code == 200


def test_a_deleted_images_links_are_gone(world: World, image: Image) -> None:
    link = make_link(world, image)
    world.request("DELETE", f"/v1/images/{image.image_id}")
    assert outcome(redeem(world, link["token"])) == (404, "NOT_FOUND")


def test_links_in_pages_oldest_first(world: World, image: Image, clock: Clock) -> None:
    made = []
    for number in range(5):
        clock.now += number % 2
        made.append(make_link(world, image)["linkId"])
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = world.request("GET", image.path("share-links"), query_string=query).get_json()
        seen += [link["linkId"] for link in page["shareLinks"]]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert sorted(seen) == sorted(made)
    assert seen[0] in made[:1]
    assert seen[-1] in made[3:]


def test_a_link_is_redeemed_whoever_asks(remake: Remake, image: Image) -> None:
    link = make_link(remake(), image)
    signed_in = remake(provider=True)
    for headers in ({}, {"Authorization": "Bearer user:bob"}, {"Authorization": "Bearer garbage"}):
        assert redeem(signed_in, link["token"], headers=headers).status_code == 200


@pytest.mark.parametrize(
    "cursor", ["x", "fA==", "MDAwMS0wMS0wMVQwMDowMDowMCsyMzo1OXx4", "OTk5OS0xMi0zMVQyMzo1OTo1OS0yMzo1OXx4"]
)
def test_odd_cursors_of_links(world: World, image: Image, cursor: str) -> None:
    """The last two are the first and the last day there is, a day before and after it in UTC."""
    response = world.request("GET", image.path("share-links"), query_string={"cursor": cursor})
    assert outcome(response) == (400, "BAD_REQUEST")
