"""One shape of error for everything, with nothing inside that a client should not see."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import OperationalError

from image_gateway.errors import CatalogUnavailable
from tests.support.world import World


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/images/", {}, 404, "NOT_FOUND"),
        ("PUT", "/v1/images", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/health", {}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/images/" + "x" * 8192, {}, 414, "URL_TOO_LONG"),
        ("GET", "/health?" + "x" * 8192, {}, 414, "URL_TOO_LONG"),
        ("GET", "/v1/images/x/range", {"Range": "bytes=" + "0" * 16384}, 413, "TOO_LARGE"),
        ("GET", "/v1/images/x/range", {"X-User-Id": ""}, 401, "UNAUTH"),
        ("GET", "/v1/images/x/range", {"X-User-Id": " \t "}, 401, "UNAUTH"),
        ("GET", "/v1/images/x/range", {"X-User-Id": "u" * 257}, 400, "BAD_REQUEST"),
        ("GET", "/v1/images/x/range", {"X-User-Id": "a\x7fb"}, 400, "BAD_REQUEST"),
        ("GET", "/v1/images/x/range", {"X-User-Id": "\xff"}, 400, "BAD_REQUEST"),
        ("GET", "/v1/images/x/range", {"X-User-Id": "u" * 256}, 404, "NOT_FOUND"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_errors(
    world: World, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    response = world.request(method, path, headers=headers)
    assert response.status_code == status
    assert response.get_json()["error"]["code"] == code
    assert "\n" not in response.get_json()["error"]["message"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    if status == 405:
        assert "POST" in response.headers["Allow"] or "GET" in response.headers["Allow"]


def test_a_surprise_is_logged_under_its_request_id_and_tells_the_client_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(_: str) -> None:
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(world.catalog, "find", explode)
    image_id = "00000000-0000-4000-8000-000000000000"
    response = world.request(
        "GET", f"/v1/images/{image_id}/metadata", headers={"X-Request-Id": "my-request-1"}
    )
    assert (response.status_code, response.get_json()["error"]["code"]) == (500, "INTERNAL")
    assert "secret detail" not in response.text
    assert response.headers["X-Request-Id"] == "my-request-1"
    (request,) = [record for record in caplog.records if record.name == "image_gateway.request"]
    assert vars(request)["request"]["request_id"] == "my-request-1"
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("given", [None, "short", "with space here", "x" * 65, 'quo"te-------'])
def test_a_request_id_that_is_none_is_replaced(world: World, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    assert len(world.request("GET", "/health", headers=headers).headers["X-Request-Id"]) == 32


def test_a_database_that_does_not_answer_is_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("password=hunter2"))

    monkeypatch.setattr("sqlalchemy.Engine.raw_connection", refuse)
    with pytest.raises(CatalogUnavailable):
        world.catalog.check_reachable()
    response = world.request("GET", "/v1/images/00000000-0000-4000-8000-000000000000/metadata")
    assert (response.status_code, response.get_json()["error"]["code"]) == (503, "CATALOG_UNAVAILABLE")
    assert response.headers["Retry-After"] == "2"
    assert "hunter2" not in response.text
    assert world.request("GET", "/readyz").status_code == 503


def test_ready_and_not(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for path in ("/health", "/healthz", "/readyz"):
        assert world.request("GET", path, user=None).get_json() == {"ok": True}
    world.clients.requests.delete_bucket(Bucket=world.settings.s3_bucket)
    # Another process: this one remembers for a second that it was ready.
    response = world.with_settings().request("GET", "/readyz", user=None)
    assert (response.status_code, response.get_json()["error"]["code"]) == (503, "S3_UNAVAILABLE")
    assert world.request("GET", "/healthz", user=None).status_code == 200


def test_nobody_needs_a_name_in_mode_none(world: World) -> None:
    open_world = world.with_settings(auth_mode="none")
    created = open_world.request("POST", "/v1/images", user=None)
    assert created.status_code == 200
    record = world.catalog.find(created.get_json()["imageId"])
    assert record is not None
    assert record.owner == "public"
