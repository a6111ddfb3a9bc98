"""The app and openapi.yaml describe the same routes, and the tests would notice if they did not."""

from __future__ import annotations

import re

import pytest
from flask import Flask, Response
from openapi_spec_validator import validate

from image_gateway.routes.http.responses import json_response
from tests.support.contract import load_contract
from tests.support.world import World

METHODS = {"get", "head", "post", "put", "patch", "delete"}
# Flask answers HEAD for every GET route; the contract names it where clients rely on it.
HEAD_ROUTES = {
    "/v1/images/{imageId}/range",
    "/v1/images/{imageId}/chunked/manifest",
    "/v1/images/{imageId}/chunked/chunks/{chunkIndex}",
    "/v1/deltas/{deltaId}/disk.img",
    "/v1/l/{token}/disk.img",
    "/v1/l/{token}/manifest.json",
    "/v1/l/{token}/chunks/{chunkIndex}",
    *(
        f"{root}/{view}"
        for root in ("/v1/l/{token}", "/v1/images/{imageId}/views", "/v1/deltas/{deltaId}/views")
        for view in (
            "v86/{blockSize}/{name}",
            "tinyemu/{blockSize}/{name}",
            "infinite-mac/{blockSize}/{name}",
            "webvm/{name}",
            "webvm/bytes/disk.ext2",
            "sqlite/{blockSize}/{name}",
            "raw/{name}",
        )
    ),
}


def routes_of(app: Flask) -> set[tuple[str, str]]:
    found = set()
    for rule in app.url_map.iter_rules():
        # Pages for people are not part of the API.
        if rule.endpoint.startswith("console."):
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: "{" + _camel(name[1]) + "}", rule.rule)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            if method != "HEAD" or path in HEAD_ROUTES:
                found.add((path, method.lower()))
    return found


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def documented_routes() -> set[tuple[str, str]]:
    paths = load_contract()["paths"]
    return {(path, method) for path, item in paths.items() for method in item if method in METHODS}


def test_the_file_is_valid_openapi() -> None:
    validate(load_contract())


@pytest.fixture
def whole(world: World) -> World:
    """With the route that is only there when it is asked for."""
    return world.with_settings(metrics_token="m" * 16)


def test_the_app_has_exactly_the_documented_routes(whole: World) -> None:
    assert routes_of(whole.app) == documented_routes()


def test_a_route_that_nobody_asked_for_is_not_there(world: World) -> None:
    assert documented_routes() - routes_of(world.app) == {("/metrics", "get")}


def test_a_planted_route_would_be_noticed(whole: World) -> None:
    app = whole.with_settings().app
    app.add_url_rule("/planted", view_func=lambda: Response("x"))
    assert routes_of(app) - documented_routes() == {("/planted", "get")}


def test_an_answer_of_a_planted_route_would_be_noticed(world: World) -> None:
    planted = world.with_settings()
    planted.app.add_url_rule("/planted", view_func=lambda: json_response({"ok": True}))
    with pytest.raises(AssertionError, match="/planted is not documented"):
        planted.request("GET", "/planted")


def test_a_planted_field_would_be_noticed(world: World) -> None:
    planted = world.with_settings()
    planted.app.view_functions["health.alive"] = lambda: json_response({"ok": True, "x": 1}, secret=True)
    with pytest.raises(AssertionError, match="Additional properties"):
        planted.request("GET", "/health")


def test_the_file_is_served(world: World) -> None:
    response = world.request("GET", "/openapi.yaml", user=None)
    assert response.status_code == 200
    assert b"openapi: 3.1.0" in response.data
    assert response.mimetype == "application/yaml"


def test_every_error_code_is_documented() -> None:
    from image_gateway import errors
    from image_gateway.routes.http.errors import _FRAMEWORK_CODES

    documented = set(
        load_contract()["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"][
            "examples"
        ]
    )
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    used = {kind.code for kind in classes if issubclass(kind, errors.GatewayError)}
    assert used | {code for code, _ in _FRAMEWORK_CODES.values()} <= documented
