"""A small image through every layout, from real gunicorn over a real store."""

from __future__ import annotations

import http.client
import json
import random
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from tests.live.conftest import StartGateway
from tests.live.test_wire import ask
from tests.support.view_readers import Fetch, Got, read_offered

SIZE = 3 * 262_144 + 5 * 512
DATA = random.Random(12).randbytes(SIZE - 300_000) + bytes(300_000)


def offered(client: GatewayClient, tmp_path: Path) -> dict[str, dict[str, str]]:
    """What stream-url offers of a new image."""
    file = tmp_path / "small.img"
    file.write_bytes(DATA)
    image_id = upload_file(client, file, parallel=1, on_bytes=lambda _: None).image_id
    user = {"X-User-Id": client.who.credentials().headers["X-User-Id"]}
    answer = urllib3.request("GET", f"{client.base_url}/v1/images/{image_id}/stream-url", headers=user)
    views: dict[str, dict[str, str]] = answer.json()["views"]
    return views


@pytest.fixture
def views(client: GatewayClient, tmp_path: Path) -> dict[str, dict[str, str]]:
    return offered(client, tmp_path)


def fetch_with(http_pool: urllib3.PoolManager) -> Fetch:
    def fetch(method: str, url: str, headers: object) -> Got:
        response = http_pool.request(method, url, headers=dict(headers), redirect=False)  # type: ignore[call-overload]
        names = {name.lower(): text for name, text in response.headers.items()}
        return Got(response.status, names, response.data)

    return fetch


def test_every_layout_has_the_image(views: dict[str, dict[str, str]]) -> None:
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        assert set(read_offered(fetch_with(pool), views).values()) == {DATA}


def test_every_layout_is_read_from_a_block_cache(start: StartGateway, tmp_path: Path) -> None:
    """Blocks of the cache are of another size than those of the views; a file is sent by the server."""
    cached = start(RANGE_CACHE_DIR=str(tmp_path / "cache"), RANGE_CACHE_BLOCK_BYTES=str(1024 * 1024))
    views = offered(GatewayClient(cached.url, f"user-{uuid.uuid4()}"), tmp_path)
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        for _ in range(2):
            assert set(read_offered(fetch_with(pool), views).values()) == {DATA}


@pytest.mark.parametrize("layout", ["v86", "tinyemu", "infinite-mac", "webvm", "sqlite", "raw"])
def test_errors_have_no_body_on_the_wire(
    client: GatewayClient, views: dict[str, dict[str, str]], layout: str
) -> None:
    path = urlsplit(views[layout]["url"]).path.rpartition("/")[0]
    status, headers, body = ask(client, "GET", f"{path}/nothing")
    assert (status, headers["X-Error-Code"], headers["Content-Length"], body) == (404, "NOT_FOUND", "0", b"")
    assert "Content-Type" not in headers
    assert "Transfer-Encoding" not in headers


def test_a_connection_is_kept_after_a_padded_block_and_an_error(views: dict[str, dict[str, str]]) -> None:
    """What is announced is sent, or the next answer would begin in the wrong place."""
    url = urlsplit(views["v86"]["url"])
    base = url.path.removesuffix("/disk.img")
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    for name, status, length in [
        ("disk-786432-1048576.img", 200, 262_144),
        ("disk-1048576-1310720.img", 404, 0),
        ("disk-0-262144.img", 200, 262_144),
    ]:
        connection.request("GET", f"{base}/{name}")
        response = connection.getresponse()
        assert (response.status, len(response.read())) == (status, length)
        assert not response.will_close
    connection.close()


def test_the_log_has_the_route_and_no_token(views: dict[str, dict[str, str]], gateway: object) -> None:
    url = views["tinyemu"]["url"]
    token = urlsplit(url).path.split("/")[3]
    request_id = "views-test-of-the-log"
    urllib3.request("GET", url, headers={"X-Request-Id": request_id})
    log = gateway.process.log  # type: ignore[attr-defined]
    # The line is written after the body was sent.
    deadline = time.monotonic() + 10
    while not (lines := [line for line in log.read_text().splitlines() if request_id in line]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    text, line = log.read_text(), json.loads(lines[0])
    assert line["route"] == "/v1/l/<token>/tinyemu/<block_size>/<name>"
    assert token not in text
