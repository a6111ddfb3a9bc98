"""Ids in any spelling: every route takes them for the one record, or for nothing, and never half of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies
from werkzeug.test import TestResponse

from image_gateway.domain.images import ImageState
from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.world import OWNER, World, lasting_world

PREFIX = "/v1/images/{id}"
ROUTES = [
    ("GET", PREFIX, None),
    ("PATCH", PREFIX, {"name": "renamed"}),
    ("DELETE", PREFIX, None),
    ("GET", f"{PREFIX}/metadata", None),
    ("GET", f"{PREFIX}/stream-url", None),
    ("GET", f"{PREFIX}/range", None),
    ("HEAD", f"{PREFIX}/range", None),
    ("GET", f"{PREFIX}/chunked/manifest", None),
    ("GET", f"{PREFIX}/chunked/chunks/0", None),
    ("GET", f"{PREFIX}/upload", None),
    ("DELETE", f"{PREFIX}/upload", None),
    ("POST", f"{PREFIX}/upload-url", {"uploadId": "{upload}", "partNumber": 1}),
    ("POST", f"{PREFIX}/upload-urls", {"uploadId": "{upload}", "partNumbers": [1]}),
    ("POST", f"{PREFIX}/complete", {"uploadId": "{upload}"}),
    ("POST", f"{PREFIX}/shares", {"user": "bob"}),
    ("GET", f"{PREFIX}/shares", None),
    ("DELETE", f"{PREFIX}/shares?user=bob", None),
    ("POST", f"{PREFIX}/share-links", None),
    ("GET", f"{PREFIX}/share-links", None),
    ("POST", "/v1/leases", {"imageId": "{id}"}),
]


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world.with_settings(rate_limits=False)


def spell(image_id: str, capitals: int) -> str:
    """The id with the letters in capitals that the bits say."""
    return "".join(
        letter.upper() if capitals >> place & 1 else letter for place, letter in enumerate(image_id)
    )


def fill(template: object, image_id: str, upload_id: str) -> object:
    if isinstance(template, dict):
        return {name: fill(value, image_id, upload_id) for name, value in template.items()}
    return template.format(id=image_id, upload=upload_id) if isinstance(template, str) else template


def ask(world: World, route: tuple[str, str, object], image_id: str, upload_id: str) -> TestResponse:
    method, path, body = route
    options = {} if body is None else {"json": fill(body, image_id, upload_id)}
    client = FlaskClient(world.app, use_cookies=False)
    return client.open(
        path.format(id=image_id), method=method, headers={"X-User-Id": OWNER}, buffered=True, **options
    )


def make(world: World, complete: bool) -> tuple[str, str]:
    if not complete:
        image_id, upload_id = world.begin()
        world.put_part(image_id, upload_id, 1, b"x")
        return image_id, upload_id
    image = world.make_image(bytes(512))
    return image.image_id, image.upload_id


def state_of(world: World, image_id: str) -> tuple[object, ...]:
    """What an act may change: the record, what it counts for, and what lies in the bucket."""
    record = world.catalog.find(image_id)
    assert record is not None
    objects = [item.key for item in world.store.list_objects(record.location.prefix)]
    uploads = [
        upload.upload_id == record.plan.upload_id
        for upload in world.store.list_uploads(record.location.prefix)
    ]
    return record.state, record.name, record.reserved_bytes, record.visibility, len(objects), uploads


@pytest.mark.thorough
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1].format(id='ID')}")
@pytest.mark.parametrize("complete", [False, True], ids=["uploading", "complete"])
def test_a_spelling_does_the_whole_of_it(
    lasting: World, route: tuple[str, str, object], complete: bool
) -> None:
    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(capitals=strategies.integers(1, 2**36 - 1))
    def check(capitals: int) -> None:
        plain_id, plain_upload = make(lasting, complete)
        other_id, other_upload = make(lasting, complete)
        plain = ask(lasting, route, plain_id, plain_upload)
        spelled = ask(lasting, route, spell(other_id, capitals), other_upload)
        assert spelled.status_code == plain.status_code
        assert state_of(lasting, other_id) == state_of(lasting, plain_id)
        for image_id in (plain_id, other_id):
            ask(lasting, ("DELETE", PREFIX, None), image_id, "")
            assert state_of(lasting, image_id)[0] is ImageState.DELETED

    check()


NO_IDS = ["x", "0" * 36, "%2F..%2F", "00000000-0000-4000-8000-00000000000g", "\u212a" * 36]


@pytest.mark.parametrize("image_id", NO_IDS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1].format(id='ID')}")
def test_what_is_no_id_is_nothing(lasting: World, route: tuple[str, str, object], image_id: str) -> None:
    assert ask(lasting, route, image_id, "u").status_code == 404


def test_ids_of_leases_and_links_are_read_in_either_case(lasting: World) -> None:
    image = lasting.make_image(b"x")
    lease = lasting.make_lease(image)
    assert lasting.request("POST", f"/v1/leases/{lease['leaseId'].upper()}/renew").status_code == 200
    assert lasting.request("DELETE", f"/v1/leases/{lease['leaseId'].upper()}").status_code == 200
    assert lasting.request("GET", f"/v1/l/{lease['token']}/disk.img", user=None).status_code == 403
    link = lasting.request("POST", image.path("share-links")).get_json()
    assert lasting.request("DELETE", image.path(f"share-links/{link['linkId'].upper()}")).status_code == 200
    refused = lasting.request("POST", "/v1/share-links/redeem", user=None, json={"token": link["token"]})
    assert refused.status_code == 403
