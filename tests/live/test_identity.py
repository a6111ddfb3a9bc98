"""A real provider and real workers: identity, leases that end everywhere at once, a start that is refused."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.ports import find_free_ports
from image_gateway.serving.command import gunicorn_command
from tests.live.conftest import StartGateway
from tests.support.oidc_provider import OidcProvider

DATA = bytes(range(256)) * 64
# The default of ACCESS_CACHE_SECONDS.
REMEMBERED = 2
# Fewer than one worker streams at once.
AT_ONCE = 6


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    running = OidcProvider.start()
    yield running
    running.stop()


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=20) as manager:
        yield manager


@pytest.fixture
def image(client: GatewayClient, tmp_path: Path) -> str:
    file = tmp_path / "disk.img"
    file.write_bytes(DATA)
    return upload_file(client, file, parallel=1, on_bytes=lambda _: None).image_id


def statuses(http: urllib3.PoolManager, url: str, count: int = 24, **headers: str) -> Counter[int]:
    """The answers of as many connections, a few at once, so that every worker has its share."""

    def ask(_: int) -> int:
        with urllib3.PoolManager(retries=False, timeout=20) as own:
            return own.request("GET", url, headers={"Range": "bytes=0-9", **headers}).status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(ask, range(count)))
    return Counter(found)


def call(http: urllib3.PoolManager, method: str, url: str, user: str, body: object = None) -> dict:
    headers = {"X-User-Id": user, "Content-Type": "application/json"}
    answer = http.request(method, url, headers=headers, body=None if body is None else json.dumps(body))
    assert answer.status == 200, answer.data
    return answer.json()


def test_a_provider_that_rotates_and_goes_down(start: StartGateway, provider: OidcProvider) -> None:
    gateway = start(
        AUTH_MODE="oidc",
        OIDC_ISSUER=provider.issuer,
        OIDC_AUDIENCE="image-gateway",
        WEB_WORKERS="1",
        LEASE_KEYS=f"k1:{'x' * 40}",
    )

    def status_of(token: str) -> int:
        with urllib3.PoolManager(retries=False, timeout=20) as own:
            answer = own.request(
                "GET", f"{gateway.url}/v1/usage", headers={"Authorization": f"Bearer {token}"}
            )
            return answer.status

    token = provider.token(user="alice")
    assert status_of(token) == 200
    assert status_of(token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")) == 401
    provider.down()
    assert {status_of(provider.token(user="alice")) for _ in range(8)} == {200}
    provider.up()
    provider.rotate(keep=False)
    renewed = provider.token(user="alice")
    deadline = time.monotonic() + 30
    while status_of(renewed) != 200:
        assert time.monotonic() < deadline, "the new key was never taken"
    before = provider.fetches
    for number in range(100):
        assert status_of(provider.token(user="alice", headers={"kid": f"unknown-{number}"})) in (401, 429)
    assert provider.fetches - before <= 4


def test_a_provider_that_was_down_at_the_start(
    start: StartGateway, provider: OidcProvider, http: urllib3.PoolManager
) -> None:
    provider.down()
    gateway = start(
        AUTH_MODE="oidc",
        OIDC_ISSUER=provider.issuer,
        OIDC_AUDIENCE="image-gateway",
        WEB_WORKERS="1",
        LEASE_KEYS=f"k1:{'x' * 40}",
    )

    def ask() -> urllib3.BaseHTTPResponse:
        token = provider.token(user="alice")
        return http.request("GET", f"{gateway.url}/v1/usage", headers={"Authorization": f"Bearer {token}"})

    for _ in range(3):
        refused = ask()
        assert (refused.status, refused.json()["error"]["code"]) == (503, "IDENTITY_UNAVAILABLE")
        assert http.request("GET", f"{gateway.url}/healthz").status == 200
    provider.up()
    deadline = time.monotonic() + 30
    while not provider.fetches:
        assert http.request("GET", f"{gateway.url}/healthz").status == 200
        assert time.monotonic() < deadline, "the keys were not fetched without a request"
    assert ask().status == 200
    assert provider.fetches == 1


def test_what_is_taken_back_ends_within_the_stated_time_on_every_worker(
    gateway: LocalGateway, client: GatewayClient, http: urllib3.PoolManager, image: str
) -> None:
    owner, base = client.who.credentials().headers["X-User-Id"], f"{gateway.url}/v1/images/{image}"
    lease = call(http, "POST", f"{gateway.url}/v1/leases", owner, {"imageId": image})
    call(http, "POST", f"{base}/shares", owner, {"user": "friend"})
    friends = call(http, "POST", f"{gateway.url}/v1/leases", "friend", {"imageId": image})
    link = call(http, "POST", f"{base}/share-links", owner, {})
    visitors = call(http, "POST", f"{gateway.url}/v1/share-links/redeem", "nobody", {"token": link["token"]})
    for leased in (lease, friends, visitors):
        assert statuses(http, leased["url"]) == {206: 24}
    assert statuses(http, f"{base}/range", **{"X-User-Id": "friend"}) == {206: 24}

    call(http, "DELETE", f"{gateway.url}/v1/leases/{lease['leaseId']}", owner)
    call(http, "DELETE", f"{base}/shares?user=friend", owner)
    call(http, "DELETE", f"{base}/share-links/{link['linkId']}", owner)
    # So long a worker may go on by what it knew; reading meanwhile does not prolong it.
    deadline = time.monotonic() + REMEMBERED
    while time.monotonic() < deadline:
        statuses(http, lease["url"], 4)
    for leased in (lease, friends, visitors):
        assert statuses(http, leased["url"]) == {403: 24}
    assert statuses(http, f"{base}/range", **{"X-User-Id": "friend"}) == {403: 24}


def test_a_lease_is_good_on_every_worker_without_any_key_in_the_settings(
    gateway: LocalGateway, client: GatewayClient, http: urllib3.PoolManager, image: str
) -> None:
    url = client.stream_url(image)["url"]
    assert statuses(http, url) == {206: 24}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_dev_identity_is_not_served_to_others(environment: dict[str, str], host: str) -> None:
    variables = {**environment, "HOST": host, "PORT": str(find_free_ports(1)[0]), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        gunicorn_command(), env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 78
    assert f"AUTH_MODE=dev trusts any client that reaches {host}" in ended.stderr
    assert "ALLOW_INSECURE_DEV_AUTH" in ended.stderr
