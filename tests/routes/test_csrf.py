"""Requests that other pages make with a signed-in browser: on every route of openapi.yaml, they do nothing.

The browser has the session of the owner, who may do everything. A forged request must get what somebody
without any credential gets, and change nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from image_gateway.domain.jobs import JobKind, new_job
from image_gateway.routes.http.session_cookie import SESSION_COOKIE, csrf_token
from tests.support.catalog_rows import catalog_rows
from tests.support.clock import Clock
from tests.support.contract import load_contract
from tests.support.world import OWNER, World

CHANGING = ("post", "put", "patch", "delete")
# Whose changes need no session: what a stranger gets is the change.
WITHOUT_SESSION = {("/v1/share-links/redeem", "post"), ("/login", "post")}
# What browsers say of a request that a page of another origin makes, or an old browser's navigation.
FORGED = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:8080"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
]
FORM_TYPES = ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", None]


@dataclass(frozen=True)
class Stage:
    """A gateway in which every route has something to do, and the session of the owner."""

    world: World
    session_id: str
    values: dict[str, str]
    bodies: dict[str, dict[str, Any]]

    def ask(self, path: str, method: str, headers: dict[str, str], *, signed_in: bool) -> TestResponse:
        for name, value in self.values.items():
            path = path.replace(f"{{{name}}}", value)
        cookie = {"Cookie": f"{SESSION_COOKIE}={self.session_id}"} if signed_in else {}
        body = self.bodies.get(path.rpartition("/")[2], {})
        query = {"user": "rick"} if method == "delete" and path.endswith("/shares") else {}
        # Not held against the contract, which takes long: other tests do that with every answer.
        return FlaskClient(self.world.app, Response, use_cookies=False).open(
            path,
            method=method,
            headers={**headers, **cookie},
            data=json.dumps(body),
            query_string=query or None,
        )

    def everything(self) -> list[str]:
        """All rows of the catalog but the time of the session's last use, and the keys of the store."""
        keys = [item.key for item in self.world.store.list_objects("")]
        uploads = [upload.upload_id for upload in self.world.store.list_uploads("")]
        return [*catalog_rows(self.world.settings.database_url), *sorted(keys), *sorted(uploads)]


@cache
def changing_routes() -> list[tuple[str, str]]:
    paths = load_contract()["paths"]
    return [(path, method) for path, item in paths.items() for method in item if method in CHANGING]


@pytest.fixture
def stage(world: World) -> Stage:
    world = world.with_settings(rate_limits=False)
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = world.request("POST", "/login", user=None, json={"user": OWNER}, headers=headers)
    session_id = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    image = world.make_image(b"data")
    uploading, upload_id = world.begin()
    world.put_part(uploading, upload_id, 1, b"x")
    world.request("POST", image.path("shares"), json={"user": "rick"})
    link = world.request("POST", image.path("share-links"), json={}).get_json()
    job = world.catalog.jobs.add(new_job(image.image_id, JobKind.VERIFY, Clock().at()))
    delta = world.request("POST", "/v1/deltas", json={"imageId": image.image_id}).get_json()
    snapshots = f"/v1/deltas/{delta['deltaId']}/snapshots"
    snapshot = world.request("POST", snapshots, json={"name": "kept"}).get_json()
    values = {
        "imageId": image.image_id,
        "leaseId": world.make_lease(image)["leaseId"],
        "linkId": link["linkId"],
        "jobId": job.job_id,
        "deltaId": delta["deltaId"],
        "snapshotId": snapshot["snapshotId"],
        "block": "0",
    }
    bodies = {
        image.image_id: {"name": "forged"},
        "images": {"name": "forged"},
        "import": {"url": "https://example.org/disk.img"},
        "empty": {"sizeBytes": 512},
        "upload-url": {"uploadId": upload_id, "partNumber": 1},
        "upload-urls": {"uploadId": upload_id, "partNumbers": [1]},
        "complete": {"uploadId": upload_id},
        "shares": {"user": "mallory"},
        "leases": {"imageId": image.image_id},
        "deltas": {"imageId": image.image_id},
        delta["deltaId"]: {"name": "forged"},
        "snapshots": {"name": "forged"},
        "reset": {"generation": 0},
        "flatten": {"name": "forged"},
    }
    return Stage(world, session_id, values | {"uploading": uploading}, bodies)


def path_for(path: str) -> str:
    """Routes of uploads get the image that is being uploaded."""
    of_upload = path.rpartition("/")[2] in ("upload", "upload-url", "upload-urls", "complete")
    return path.replace("{imageId}", "{uploading}") if of_upload else path


@pytest.mark.parametrize(("path", "method"), changing_routes(), ids=lambda value: str(value))
def test_a_forged_request_does_nothing(stage: Stage, path: str, method: str) -> None:
    before = stage.everything()
    for forged in FORGED:
        for content_type in ("application/json", "text/plain", None):
            headers = forged | ({"Content-Type": content_type} if content_type else {})
            response = stage.ask(path_for(path), method, headers, signed_in=True)
            stranger = stage.ask(path_for(path), method, headers, signed_in=False)
            assert (response.status_code, response.data) == (stranger.status_code, stranger.data)
            assert response.status_code >= 400
            assert "Set-Cookie" not in response.headers
    assert stage.everything() == before


@pytest.mark.parametrize(
    ("path", "method"), [route for route in changing_routes() if route not in WITHOUT_SESSION], ids=str
)
def test_a_form_of_our_own_origin_does_nothing_without_the_token(
    stage: Stage, path: str, method: str
) -> None:
    """Whoever can place a form on our origin, but no script, has no token."""
    before = stage.everything()
    for content_type in FORM_TYPES:
        for token in (None, "", csrf_token("x" * 43)):
            headers = {"Sec-Fetch-Site": "same-origin"}
            headers |= {"Content-Type": content_type} if content_type else {}
            headers |= {"X-CSRF-Token": token} if token is not None else {}
            response = stage.ask(path_for(path), method, headers, signed_in=True)
            assert response.status_code == 403, response.text
            assert "X-CSRF-Token" in response.get_json()["error"]["message"]
    assert stage.everything() == before


@pytest.mark.parametrize(("path", "method"), changing_routes(), ids=lambda value: str(value))
def test_the_page_itself_is_understood(stage: Stage, path: str, method: str) -> None:
    """The counterpart: the same requests of our own page are not refused for what they lack."""
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    response = stage.ask(path_for(path), method, headers, signed_in=True)
    assert response.status_code not in (401, 403), response.text


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/images/{imageId}?cascade=true", "delete"), ("/logout", "post")]
)
def test_the_token_stands_for_json(stage: Stage, path: str, method: str) -> None:
    headers = {"Origin": "http://localhost", "X-CSRF-Token": csrf_token(stage.session_id)}
    assert stage.ask(path, method, headers, signed_in=True).status_code == 200


READABLE = [{}, {"Sec-Fetch-Site": "none"}]


@pytest.mark.parametrize("forged", [headers for headers in FORGED if headers not in READABLE], ids=str)
def test_other_pages_cannot_read_by_the_session(stage: Stage, forged: dict[str, str]) -> None:
    for path in ("/v1/me", "/v1/images", "/v1/images/{imageId}", "/v1/images/{imageId}/range"):
        assert stage.ask(path, "get", forged, signed_in=True).status_code == 401


def test_a_typed_url_shows_what_is_ones_own(stage: Stage) -> None:
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}
    assert stage.ask("/v1/images/{imageId}/range", "get", typed, signed_in=True).data == b"data"
