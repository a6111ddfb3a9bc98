"""Views through nginx: the gateway's answers, the plain ranges from the store, and errors without a body."""

from __future__ import annotations

import json

import pytest
import urllib3

from tests.live.edge.conftest import DATA, SIZE, Pair, StartPair
from tests.live.test_views import fetch_with
from tests.support.fake_store import wait_for
from tests.support.view_readers import read_offered

PIECES = [
    "v86/65536/disk-0-65536.img",
    "v86/65536/disk-196608-262144.img",
    "v86/65536/disk-196608-262144.img.zst",
    "v86/65536/disk-262144-327680.img",
    "v86/any/512-1024.img",
    "tinyemu/64/blk.txt",
    "tinyemu/64/blk000000003.bin",
    "tinyemu/63/blk000000003.bin",
    "infinite-mac/65536/manifest.json",
    "infinite-mac/65536/3.chunk",
    "webvm/disk.ext2.meta",
    "webvm/disk.ext2.c000001.txt",
    "webvm/disk.ext2",
    "sqlite/65536/config.json",
    "sqlite/full/config.json",
    "sqlite/65536/db.002",
    "sqlite/65536/db.999",
    "raw/none",
    "raw/a/b.img",
]
PLAIN = [
    "webvm/bytes/disk.ext2",
    "raw/disk.img",
    "raw/my%20disk.iso",
    "raw/disk.img?download",
    "raw/disk.img?x=1",
]
REQUESTS: list[dict[str, str]] = [
    {},
    {"Range": "bytes=0-9"},
    {"Range": f"bytes=65530-{SIZE}"},
    {"Range": f"bytes={SIZE}-"},
    {"Range": "bytes=0-1,3-4"},
    {"If-None-Match": "*"},
    {"If-Match": '"other"'},
]


@pytest.fixture(scope="module")
def token(pair: Pair, owner: str, image_id: str) -> str:
    token: str = pair.post("/v1/leases", owner, imageId=image_id)["token"]
    return token


@pytest.mark.parametrize("file", [*PIECES, *PLAIN])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_are_those_of_the_gateway(
    pair: Pair, owner: str, image_id: str, token: str, file: str, method: str
) -> None:
    for path, user in [
        (f"/v1/l/{token}/{file}", {}),
        (f"/v1/images/{image_id}/views/{file}", {"X-User-Id": owner}),
    ]:
        # The configuration of sql.js-httpvfs names the host that was asked.
        host = {"Host": "gateway.test"}
        for headers in REQUESTS:
            direct, through = pair.both(method, path, {**user, **host, **headers})
            assert through == direct, headers
            assert "content-encoding" not in through.headers


@pytest.mark.parametrize("file", [PIECES[0], PIECES[5], PLAIN[0], PLAIN[1]])
def test_refusals(pair: Pair, owner: str, image_id: str, file: str) -> None:
    revoked = pair.post("/v1/leases", owner, imageId=image_id)
    end = pair.ask("DELETE", f"/v1/leases/{revoked['leaseId']}", {"X-User-Id": owner})
    assert end.status == 200
    for path, headers, expected in [
        (f"/v1/l/{revoked['token']}/{file}", {}, (403, "LEASE_REVOKED")),
        (f"/v1/l/forged/{file}", {}, (401, "UNAUTH")),
        (f"/v1/images/{image_id}/views/{file}", {"X-User-Id": "mallory"}, (403, "FORBIDDEN")),
        (f"/v1/images/{image_id}/views/{file}", {}, (401, "UNAUTH")),
    ]:
        direct, through = pair.both("GET", path, headers)
        assert through == direct
        assert (through.status, through.headers["x-error-code"], through.body) == (*expected, b"")


def test_every_layout_has_the_image(pair: Pair, owner: str, image_id: str) -> None:
    answer = pair.ask("GET", f"/v1/images/{image_id}/stream-url", {"X-User-Id": owner})
    views = json.loads(answer.body)["views"]
    assert views["raw"]["url"].startswith(pair.edge.url)
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        assert set(read_offered(fetch_with(pool), views).values()) == {DATA}


def test_plain_ranges_are_cached_by_nginx(pair: Pair, owner: str, image_id: str, token: str) -> None:
    """The bytes are those of the disk, so its slices serve the views as well."""
    path, slice_range = f"/v1/l/{token}/raw/disk.img", {"Range": "bytes=0-65535"}
    pair.ask("GET", f"/v1/images/{image_id}/range", {"X-User-Id": owner, **slice_range})
    request_id = "views-edge-cached"
    answer = pair.ask("GET", path, {**slice_range, "X-Request-Id": request_id})
    assert answer.body == DATA[:65_536]

    def lines() -> list[str]:
        return [line for line in pair.logs().splitlines() if request_id in line and '"cache"' in line]

    wait_for(lambda: bool(lines()))
    line = json.loads(lines()[0])
    assert (line["route"], line["cache"]) == ("/v1/l/<token>/raw/<name>", "HIT")


def test_errors_of_nginx_have_no_body_either(start_pair: StartPair) -> None:
    pair = start_pair()
    pair.gateway.process.kill()
    for file in (PIECES[0], PLAIN[0]):
        answer = pair.ask("GET", f"/v1/l/token/{file}")
        assert (answer.status, answer.headers["x-error-code"], answer.body) == (
            503,
            "GATEWAY_UNAVAILABLE",
            b"",
        )
        assert answer.headers["retry-after"] == "2"
        assert "x-error-code" in answer.headers["access-control-expose-headers"]
    other = pair.ask("GET", "/v1/l/token/disk.img")
    assert (other.status, other.code) == (503, "GATEWAY_UNAVAILABLE")
    assert "x-error-code" not in other.headers
