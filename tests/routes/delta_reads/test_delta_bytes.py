"""The bytes of deltas: by generation, at once after a commit, and only for who may read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Response
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings

from image_gateway.protocol.views.offers import offer_views
from tests.routes.delta_reads.conftest import BLOCK, SIZE, DeltaScene
from tests.support.delta_writing import OWNER
from tests.support.depth import depths
from tests.support.rfc9110 import Entity, right_answers
from tests.support.rfc9110_cases import Case, cases, seen

EXAMPLES = depths(25, 300)
OpenScene = Callable[[], DeltaScene]


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("is_leased", [False, True])
def test_any_request_is_answered_as_the_rfc_has_it(scene: DeltaScene, is_leased: bool, examples: int) -> None:
    """There is no date, whatever dates are sent."""
    path, user = scene.path(), {"X-User-Id": "alice"}
    if is_leased:
        path, user = f"/v1/l/{scene.lease()['token']}/disk.img", {}
    entity = Entity(bytes(scene.guest.disk), scene.etag, None)
    client = FlaskClient(scene.world.app, Response, use_cookies=False)

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases(entity))
    def check(case: Case) -> None:
        method, headers = case
        with client.open(path, method=method, headers={**user, **headers}) as response:
            answer = seen(response.status_code, response.headers, response.data)
        assert answer in right_answers(method, headers, entity)

    check()


def test_headers(scene: DeltaScene) -> None:
    for method in ("GET", "HEAD"):
        headers = scene.world.request(method, scene.path()).headers
        assert headers["ETag"] == scene.etag
        assert "Last-Modified" not in headers
        assert headers["Cache-Control"] == "private, no-cache, no-transform"
        assert headers["Content-Encoding"] == "identity"
        assert headers["Content-Length"] == str(SIZE)


def test_a_commit_is_in_the_next_answer(scene: DeltaScene) -> None:
    """Although permissions are remembered: the generation is not."""
    newest = scene.lease()["token"]
    for block in range(5):
        scene.write(block * 17, seed=block)
        assert scene.get().data == scene.guest.disk
        by_lease = scene.leased(newest)
        assert (by_lease.data, by_lease.headers["ETag"]) == (scene.guest.disk, scene.etag)


def test_a_reader_of_an_older_generation_is_told(scene: DeltaScene) -> None:
    before, old = bytes(scene.guest.disk), scene.etag
    unchanged = scene.get(headers={"If-Match": old, "Range": "bytes=0-9"})
    assert (unchanged.status_code, unchanged.data) == (206, before[:10])
    scene.write(0, seed=9)
    stale = scene.get(headers={"If-Match": old, "Range": "bytes=0-9"})
    assert (stale.status_code, stale.headers["ETag"]) == (412, scene.etag)
    whole = scene.get(headers={"If-Range": old, "Range": "bytes=0-9"})
    assert (whole.status_code, whole.data) == (200, scene.guest.disk)
    assert scene.get(headers={"If-None-Match": old}).status_code == 200
    assert scene.get(headers={"If-None-Match": scene.etag}).status_code == 304


def test_generations_that_are_kept_can_be_read(scene: DeltaScene) -> None:
    first, base = scene.get(query_string={"generation": 1}), scene.get(query_string={"generation": 0})
    assert first.headers["ETag"].endswith('.1"')
    assert first.data[3 * BLOCK : 8 * BLOCK] != base.data[3 * BLOCK : 8 * BLOCK]
    assert base.data == scene.image.data
    assert base.headers["ETag"] != scene.image.etag
    for query, status in [({"generation": 3}, 404), ({"generation": -1}, 400), ({"generation": "x"}, 400)]:
        assert scene.get(query_string=query).status_code == status


def test_a_fixed_lease_stays_where_it_is(scene: DeltaScene) -> None:
    before, old = bytes(scene.guest.disk), scene.etag
    token = scene.lease(generation=2)["token"]
    scene.write(0, seed=10)
    answer = scene.leased(token)
    assert (answer.data, answer.headers["ETag"]) == (before, old)


def test_what_a_lease_of_a_delta_permits(scene: DeltaScene, open_scene: OpenScene) -> None:
    world, other = scene.world, open_scene()
    newest, fixed = scene.lease()["token"], scene.lease(generation=1)["token"]
    session = world.request("POST", scene.path("sessions")).get_json()["token"]

    def status(token: str, path: str) -> int:
        by_query = world.request("GET", path, user=None, query_string={"token": token}).status_code
        assert world.bearing(token, "GET", path).status_code == by_query
        return by_query

    for token in (newest, fixed, session):
        assert status(token, scene.path()) == 200
        assert status(token, scene.path("views/raw/disk.img")) == 200
        assert status(token, other.path()) == 403
        assert status(token, scene.image.path("range")) == 403
        for route in ("manifest.json", "chunks/0"):
            assert scene.leased(token, route).get_json()["error"] == {
                "code": "NOT_FOUND",
                "message": "a delta has no chunks: read its disk.img or its views",
            }
    of_image = world.make_lease(scene.image)["token"]
    assert status(of_image, scene.path()) == 403
    # Only a writer's session reads other generations than its own.
    older = {"query_string": {"generation": 1}}
    assert world.bearing(session, "GET", scene.path(), **older).status_code == 200
    assert world.bearing(fixed, "GET", scene.path(), **older).status_code == 200
    assert world.bearing(newest, "GET", scene.path(), **older).status_code == 403


def test_a_public_image_makes_no_delta_public(scene: DeltaScene, open_scene: OpenScene) -> None:
    made = scene.world.make_image(bytes(SIZE))
    scene.world.show_to(made, "public")
    services = scene.guest.services
    delta = services.deltas.create(made.image_id, OWNER, block_size=None, name=None)
    path = f"/v1/deltas/{delta.delta_id}/disk.img"
    assert scene.world.request("GET", path, user=None).status_code == 401
    assert scene.world.request("GET", path, user="mallory").status_code in (403, 404)
    answer = scene.world.request("GET", path)
    assert answer.headers["Cache-Control"] == "private, no-cache, no-transform"
    assert "X-User-Id" in answer.headers["Vary"]


def test_a_deleted_delta_is_gone_at_once(scene: DeltaScene) -> None:
    token = scene.lease()["token"]
    assert scene.leased(token).status_code == 200
    assert scene.world.request("DELETE", scene.path("")[:-1]).status_code == 200
    assert scene.get().status_code == 404
    assert scene.leased(token).status_code == 404
    missing = scene.get("views/raw/disk.img")
    assert (missing.status_code, missing.data, missing.headers["X-Error-Code"]) == (404, b"", "NOT_FOUND")


def test_a_missing_segment_is_the_stores_error(scene: DeltaScene) -> None:
    world, guest = scene.world, scene.guest
    scene.write(20, seed=20)
    record = world.catalog.find(scene.image.image_id)
    assert record is not None
    commit = world.catalog.deltas.find_commits(guest.delta_id, after=2, upto=3)[0]
    world.store.delete(record.location.delta_key(guest.delta_id, commit.name))
    for headers in ({}, {"Range": f"bytes={20 * BLOCK}-"}):
        answer = scene.get(headers=headers)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (502, "S3_ERROR")


def test_a_session_offers_the_views_of_its_delta(scene: DeltaScene) -> None:
    session = scene.world.request("POST", scene.path("sessions")).get_json()
    root = session["url"].removesuffix("/disk.img")
    assert session["views"] == offer_views(root, SIZE)
