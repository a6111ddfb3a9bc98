"""No secret reaches a log, an error or a repr, whatever happens."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from image_gateway.cdn.cookies import CookieRules
from image_gateway.components import make_cdn
from image_gateway.domain.callers import Caller
from image_gateway.errors import StoreUnavailable
from image_gateway.services.stream_urls import Delivery, LeaseCarrier
from image_gateway.services.uploads import SignedParts
from tests.support.keys import make_key, pem_of
from tests.support.world import World

MARKERS = ("X-Amz-Signature", "CloudFront-Signature=", "Signature=", "PRIVATE KEY", "test-secret")


@pytest.fixture
def secretive(world: World, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.DEBUG, "image_gateway")
    return world.with_settings(
        cloudfront_domain="d1.cloudfront.net",
        cloudfront_key_pair_id="K1",
        cloudfront_private_key_pem=pem_of(make_key()),
        cloudfront_auth_mode="url",
    )


def collect_secrets(world: World) -> list[str]:
    """Drive every route that hands out a secret; returns those secrets."""
    image = world.make_image(bytes(1024))
    world.publish(image, 512)
    image_id, upload_id = world.begin()
    part = world.request(
        "POST", f"/v1/images/{image_id}/upload-url", json={"uploadId": upload_id, "partNumber": 1}
    ).get_json()["url"]
    stream = world.request("GET", image.path("stream-url")).get_json()["url"]
    chunk = world.request("GET", image.path("chunked/chunks/0")).headers["Location"]
    world.request("GET", image.path("range"))
    return [url.split("?", 1)[1] for url in (part, stream, chunk)]


def test_nothing_that_is_handed_out_is_logged(secretive: World, caplog: pytest.LogCaptureFixture) -> None:
    secrets = collect_secrets(secretive)
    logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    for secret in [*secrets, *MARKERS]:
        assert secret not in logged


def test_failures_log_no_secret(
    secretive: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id, upload_id = secretive.begin()

    def fail(*_: Any, **__: Any) -> str:
        raise StoreUnavailable("the store did not answer; try again")

    monkeypatch.setattr(secretive.store, "sign_part", fail)
    body = {"uploadId": upload_id, "partNumber": 1}
    response = secretive.request("POST", f"/v1/images/{image_id}/upload-url", json=body)
    assert response.status_code == 503
    assert not any(marker in caplog.text + response.text for marker in MARKERS)


def test_no_repr_shows_a_secret(secretive: World) -> None:
    image = secretive.make_image(b"x")
    record = secretive.catalog.find(image.image_id)
    assert record is not None
    carrier = LeaseCarrier(False, CookieRules("None", False, None))
    delivery = Delivery(make_cdn(secretive.settings), None, carrier)
    stream = delivery.stream_url(record, Caller("alice"), "http://localhost/")
    part = SignedParts({1: "https://s3/?X-Amz-Signature=abc"}, record.created_at, record.created_at)
    shown = " ".join(map(repr, [stream, part, secretive.settings, secretive.clients.address]))
    assert not any(marker in shown for marker in MARKERS)
    assert "Policy" not in shown


def test_answers_with_secrets_are_not_stored(secretive: World) -> None:
    image = secretive.make_image(bytes(512))
    secretive.publish(image, 512)
    image_id, upload_id = secretive.begin()
    answers = [
        secretive.request("POST", "/v1/images"),
        secretive.request(
            "POST", f"/v1/images/{image_id}/upload-url", json={"uploadId": upload_id, "partNumber": 1}
        ),
        secretive.request("GET", image.path("stream-url")),
        secretive.request("GET", image.path("chunked/manifest")),
    ]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 4
