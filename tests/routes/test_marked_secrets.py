"""Every route with marked secrets wherever a request can hold them: no log line and no answer repeats one."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tests.support.log_lines import written_lines
from tests.support.world import Image, World

MARK = "bWFya2VkLXNlY3JldA"
LEASE = f"igl~k1~{MARK}~{MARK}"
LINK = f"igs_{MARK}{MARK}xyz"
JWT = f"eyJhbGciOiJSUzI1NiJ9.eyJ{MARK}.{MARK}"
QUERY = f"token={LINK}&X-Amz-Signature={MARK}&Signature={MARK}&Policy={MARK}&Key-Pair-Id={MARK}&user=bob"
AUTHORIZATIONS = [f"Bearer {JWT}", f"Bearer {LEASE}", f"Basic {MARK}", None]
BODY = {
    "token": LINK,
    "imageId": LEASE,
    "uploadId": f"{JWT}",
    "user": "bob",
    "parts": [{"partNumber": 1, "etag": LEASE}],
    "partNumber": 1,
    "partNumbers": [1],
}


def targets(world: World, image: Image) -> Iterator[tuple[str, str]]:
    """Each method of each route, its variables filled with an image's id, and with a secret."""
    for rule in world.app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            for path in {fill(rule, image.image_id), fill(rule, LEASE)}:
                yield method, path


def fill(rule: Rule, image_id: str) -> str:
    path = rule.rule.replace("<image_id>", image_id).replace("<chunk_index>", "0")
    return re.sub(r"<\w+>", LEASE, path)


@pytest.mark.parametrize("shape", ["json", "text"])
@pytest.mark.parametrize("authorization", AUTHORIZATIONS, ids=["jwt", "lease", "basic", "cookie"])
def test_no_route_repeats_a_secret(world: World, shape: str, authorization: str | None) -> None:
    world = world.with_settings(metrics_token=MARK)
    image = world.make_image(b"data")
    headers = {
        "Cookie": f"ImageLease={LEASE}; CloudFront-Policy={MARK}; CloudFront-Signature={MARK}",
        "Referer": f"https://app.example/?token={LINK}",
        "User-Agent": f"reader {LEASE}",
    }
    if authorization:
        headers["Authorization"] = authorization
    # Not held against the contract: it knows HEAD only where clients rely on it.
    client = FlaskClient(world.app, world.app.response_class)
    answers: list[str] = []
    with written_lines(logging.DEBUG, shape) as lines:
        for method, path in targets(world, image):
            body = BODY if method in ("POST", "PATCH") else None
            response = client.open(f"{path}?{QUERY}", method=method, headers=headers, json=body)
            answers.append(f"{response.headers} {response.get_data(as_text=True)}")
    assert len(answers) >= 60
    assert lines.text().count("\n") >= len(answers)
    assert MARK not in lines.text()
    assert MARK not in "".join(answers)


def test_what_is_handed_out_is_not_logged(world: World) -> None:
    image = world.make_image(b"data")
    with written_lines(logging.DEBUG) as lines:
        lease = world.request("POST", "/v1/leases", json={"imageId": image.image_id}).get_json()
        link = world.request("POST", image.path("share-links"), json={}).get_json()
        redeemed = world.request(
            "POST", "/v1/share-links/redeem", json={"token": link["token"]}, user=None
        ).get_json()
        stream = world.request("GET", image.path("stream-url")).get_json()
        for token in (lease["token"], redeemed["token"], stream["url"].split("/")[5]):
            assert world.request("GET", f"/v1/l/{token}/disk.img", user=None).data == b"data"
            bearer = {"Authorization": f"Bearer {token}"}
            assert world.request("GET", image.path("range"), user=None, headers=bearer).status_code == 200
    assert lines.text().count("\n") >= 10
    for token in (lease["token"], link["token"], redeemed["token"], stream["url"]):
        assert token not in lines.text()
        assert token[-20:] not in lines.text()
