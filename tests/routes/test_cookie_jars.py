"""Two images in one browser: each request carries the cookies of its own image, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from image_gateway.storage.client import StoreClients
from tests.cdn.edge import Edge
from tests.support.clock import Clock
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.keys import make_key, pem_of
from tests.support.leasing import OLD, RULES, SESSION, outcome
from tests.support.rfc6265 import Jar, default_path, domain_matches, path_matches
from tests.support.world import Image, World, lasting_world

GATEWAY, CDN = "https://gw.example", "https://cdn.example"
KEY_ID = "K2JCJMDEHXQW5F"
BELOW_IMAGE = ["range", "metadata", "chunked/manifest", "chunked/chunks/0", "chunked/chunks/00000001.bin"]


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world


@pytest.fixture(scope="module")
def images(lasting: World) -> tuple[Image, Image]:
    """A disk and a CD, both published."""
    disk, cd = lasting.make_image(b"D" * 1024), lasting.make_image(b"C" * 2048)
    for image in (disk, cd):
        lasting.publish(image, 512)
    return disk, cd


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Browser:
    """A browser with one jar, whose user is signed in for stream-url alone."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self.jar = Jar()

    def ask(self, method: str, path: str, *, user: str | None = None, **options: object) -> TestResponse:
        url = f"{GATEWAY}{path}"
        headers = self.jar.header(url, self.clock.now)
        response = self.world.request(method, path, user=user, base_url=GATEWAY, headers=headers, **options)
        self.jar.receive(url, response.headers.getlist("Set-Cookie"), self.clock.now)
        return response

    def sent_to(self, url: str) -> dict[str, str]:
        """The cookies that a request to this URL carries; none twice."""
        header = self.jar.header(url, self.clock.now).get("Cookie", "")
        pairs = [pair.partition("=") for pair in header.split("; ") if pair]
        assert len({name for name, _, _ in pairs}) == len(pairs)
        return {name: value for name, _, value in pairs}


# The gateway's own cookies


@pytest.fixture
def browser(lasting: World, clock: Clock) -> Browser:
    return Browser(lasting.with_settings(clock=clock, gateway_auth_mode="cookie", **RULES), clock)


@pytest.mark.parametrize("partitioned", [False, True])
def test_two_images_by_their_leases(
    lasting: World, clock: Clock, images: tuple[Image, Image], partitioned: bool
) -> None:
    rules = {**RULES, "gateway_auth_mode": "cookie", "lease_cookie_partitioned": partitioned}
    browser = Browser(lasting.with_settings(clock=clock, **rules), clock)
    for image in images:
        assert browser.ask("GET", image.path("stream-url"), user="alice").status_code == 200
    assert len(browser.jar.cookies) == 2
    for image in (*images, *reversed(images)):
        for route in BELOW_IMAGE:
            assert browser.sent_to(f"{GATEWAY}{image.path(route)}").keys() == {"ImageLease"}
            assert browser.ask("GET", image.path(route)).status_code == 200
        assert browser.ask("GET", image.path("range")).data == image.data
    tokens = {browser.sent_to(f"{GATEWAY}{image.path('range')}")["ImageLease"] for image in images}
    assert len(tokens) == 2


@pytest.mark.parametrize(
    "url",
    [
        f"{GATEWAY}/",
        f"{GATEWAY}/v1/images",
        f"{GATEWAY}/v1/images/{{id}}",
        f"{GATEWAY}/v1/images/{{id}}x/range",
        f"{GATEWAY}/v1/leases",
        f"{GATEWAY}/v1/l/token/disk.img",
        "http://gw.example/v1/images/{id}/range",
        "https://sub.gw.example/v1/images/{id}/range",
        "https://other.example/v1/images/{id}/range",
    ],
)
def test_where_a_lease_cookie_is_not_sent(browser: Browser, images: tuple[Image, Image], url: str) -> None:
    image = images[0]
    browser.ask("GET", image.path("stream-url"), user="alice")
    assert browser.sent_to(url.replace("{id}", image.image_id)) == {}


def test_scripts_do_not_see_it(browser: Browser, images: tuple[Image, Image]) -> None:
    browser.ask("GET", images[0].path("stream-url"), user="alice")
    assert all(cookie.http_only and cookie.secure for cookie in browser.jar.cookies.values())


def test_the_cookie_ends_with_the_session(browser: Browser, clock: Clock) -> None:
    image = browser.world.make_image(b"new")
    browser.ask("GET", image.path("stream-url"), user="alice")
    url = f"{GATEWAY}{image.path('range')}"
    clock.now += SESSION - 1
    assert browser.sent_to(url)
    assert browser.ask("GET", image.path("range")).status_code == 200
    clock.now += 1
    assert browser.sent_to(url) == {}
    assert outcome(browser.ask("GET", image.path("range"))) == (401, "UNAUTH")


def test_a_newer_lease_takes_the_place_of_an_older_one(browser: Browser, clock: Clock) -> None:
    image = browser.world.make_image(b"new")
    browser.ask("GET", image.path("stream-url"), user="alice")
    clock.now += SESSION - 1
    browser.ask("GET", image.path("stream-url"), user="alice")
    assert len(browser.jar.cookies) == 1
    clock.now += SESSION - 1
    assert browser.ask("GET", image.path("range")).data == image.data


def test_a_made_or_redeemed_lease_is_a_cookie_as_well(browser: Browser, images: tuple[Image, Image]) -> None:
    disk, cd = images
    browser.ask("POST", "/v1/leases", user="alice", json={"imageId": disk.image_id})
    link = browser.ask("POST", cd.path("share-links"), user="alice").get_json()
    browser.ask("POST", "/v1/share-links/redeem", json={"token": link["token"]})
    for image in images:
        assert browser.ask("GET", image.path("range")).data == image.data


def test_a_lease_that_only_writes_leaves_the_one_that_reads(
    browser: Browser, images: tuple[Image, Image]
) -> None:
    image = images[0]
    browser.ask("GET", image.path("stream-url"), user="alice")
    made = browser.ask(
        "POST", "/v1/leases", user="alice", json={"imageId": image.image_id, "scopes": ["disk:write"]}
    )
    assert made.status_code == 200
    assert browser.ask("GET", image.path("range")).data == image.data


# CloudFront's cookies


@pytest.fixture
def with_cdn(lasting: World, clock: Clock) -> Browser:
    world = lasting.with_settings(
        clock=clock,
        rate_limits=False,
        lease_keys=(OLD,),
        cloudfront_domain="cdn.example",
        cloudfront_key_pair_id=KEY_ID,
        cloudfront_private_key_pem=pem_of(make_key()),
    )
    return Browser(world, clock)


def cookies_of(browser: Browser, image: Image, host: str) -> str:
    """Ask for stream-url as a gateway of the CDN's own host would answer; returns the disk's URL."""
    response = browser.world.request("GET", image.path("stream-url"), base_url=host)
    browser.jar.receive(f"{host}/v1/images", response.headers.getlist("Set-Cookie"), browser.clock.now)
    url: str = response.get_json()["url"]
    return url


def test_two_images_at_cloudfront(with_cdn: Browser, images: tuple[Image, Image], clock: Clock) -> None:
    edge = Edge(KEY_ID, make_key().public_key())
    # The gateway is a behaviour of the distribution: one host for both.
    disks = [cookies_of(with_cdn, image, CDN) for image in images]
    assert len(with_cdn.jar.cookies) == 6
    for disk, other in (disks, disks[::-1]):
        for name in ("disk.img", "manifest.json", "chunks/00000000.bin"):
            url = disk.replace("disk.img", name)
            sent = with_cdn.sent_to(url)
            assert edge.admits_cookies(url, sent, clock.now)
            assert not edge.admits_cookies(other.replace("disk.img", name), sent, clock.now)
    (expires,) = {cookie.expires for cookie in with_cdn.jar.cookies.values()}
    assert expires is not None
    clock.now = expires
    assert with_cdn.sent_to(disks[0]) == {}


def test_a_gateway_on_a_sister_host_needs_the_common_domain(
    lasting: World, clock: Clock, images: tuple[Image, Image]
) -> None:
    settings: dict[str, Any] = {
        "clock": clock,
        "rate_limits": False,
        "cloudfront_domain": "cdn.app.example",
        "cloudfront_key_pair_id": KEY_ID,
        "cloudfront_private_key_pem": pem_of(make_key()),
    }
    edge = Edge(KEY_ID, make_key().public_key())
    for domain, admitted in ((None, False), (".app.example", True)):
        browser = Browser(lasting.with_settings(**settings, cloudfront_cookie_domain=domain), clock)
        for image in images:
            url = cookies_of(browser, image, "https://api.app.example")
            assert edge.admits_cookies(url, browser.sent_to(url), clock.now) is admitted
            elsewhere = url.replace("cdn.app.example", "cdn.other.example")
            assert browser.sent_to(elsewhere) == {}


# The jar itself


@pytest.mark.parametrize(
    ("request_path", "cookie_path", "expected"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b", "/a", True),
        ("/a/b", "/a/", True),
        ("/a", "/a/", False),
        ("/ab", "/a", False),
        ("/ab/", "/a/", False),
        ("/", "/", True),
        ("/x", "/", True),
        ("/A/b", "/a", False),
    ],
)
def test_path_match(request_path: str, cookie_path: str, expected: bool) -> None:
    assert path_matches(request_path, cookie_path) is expected


@pytest.mark.parametrize(
    ("path", "expected"), [("", "/"), ("x", "/"), ("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a")]
)
def test_default_path(path: str, expected: str) -> None:
    assert default_path(path) == expected


@pytest.mark.parametrize(
    ("host", "domain", "expected"),
    [
        ("a.example", "a.example", True),
        ("b.a.example", "a.example", True),
        ("ba.example", "a.example", False),
        ("example", "a.example", False),
        ("1.2.3.4", "3.4", False),
    ],
)
def test_domain_match(host: str, domain: str, expected: bool) -> None:
    assert domain_matches(host, domain) is expected
