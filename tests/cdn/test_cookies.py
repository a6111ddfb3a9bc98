"""Signed cookies: their attributes, and a jar that keeps two images apart."""

from __future__ import annotations

import itertools
import time
from email.message import Message
from http.cookiejar import CookieJar
from urllib.request import Request

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from image_gateway.cdn.cookies import CookieRules, SignedCookie, make_cookies
from image_gateway.cdn.keys import load_signing_key
from image_gateway.cdn.signer import CloudFrontSigner, SignedPolicy
from image_gateway.protocol.layout import ImageLocation
from tests.cdn.edge import Edge

KEY_ID = "K2JCJMDEHXQW5F"
API, EDGE = "https://api.example.com/v1/images/x/stream-url", "https://cdn.example.com"
DISK = ImageLocation("/images", "alice", "disk", "v1")
CD = ImageLocation("/images", "alice", "cd", "v1")
NEXT_DISK = ImageLocation("/images", "alice", "disk", "v10")
NAMES = ["CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"]
PLAIN = CookieRules(same_site="None", partitioned=False, domain=None)
SHARED = CookieRules(same_site="None", partitioned=True, domain=".example.com")


@pytest.fixture
def signer(pkcs8_pem: str) -> CloudFrontSigner:
    now = time.time()
    return CloudFrontSigner(KEY_ID, load_signing_key(pkcs8_pem), 3600, lambda: now)


@pytest.fixture
def edge(private_key: RSAPrivateKey) -> Edge:
    return Edge(KEY_ID, private_key.public_key())


@pytest.fixture
def noon() -> SignedPolicy:
    signer = CloudFrontSigner(KEY_ID, lambda _: b"signature", 3600, lambda: 1_704_106_800)
    return signer.sign_policy(f"{EDGE}{DISK.path}")


def cookies_of(
    signer: CloudFrontSigner, location: ImageLocation, rules: CookieRules
) -> tuple[SignedCookie, ...]:
    return make_cookies(signer.sign_policy(f"{EDGE}{location.path}"), f"{location.path}/", rules)


EXPIRES = "Expires=Mon, 01 Jan 2024 12:00:00 GMT"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (PLAIN, ["SameSite=None", EXPIRES]),
        (CookieRules("Lax", False, None), ["SameSite=Lax", EXPIRES]),
        (CookieRules("Strict", False, "example.com"), ["SameSite=Strict", "Domain=example.com", EXPIRES]),
        (CookieRules("None", True, None), ["SameSite=None", "Partitioned", EXPIRES]),
        (SHARED, ["SameSite=None", "Partitioned", "Domain=.example.com", EXPIRES]),
    ],
    ids=["plain", "lax", "strict, domain", "partitioned", "all"],
)
def test_attributes(rules: CookieRules, expected: list[str], noon: SignedPolicy) -> None:
    cookies = make_cookies(noon, f"{DISK.path}/", rules)
    assert [cookie.name for cookie in cookies] == NAMES
    assert [cookie.value for cookie in cookies] == [noon.policy, noon.signature, KEY_ID]
    for cookie in cookies:
        assert list(cookie.attributes) == [f"Path={DISK.path}/", "Secure", "HttpOnly", *expected]


def test_header(noon: SignedPolicy) -> None:
    *_, cookie = make_cookies(noon, "/images/x/", SHARED)
    assert cookie.as_header() == (
        f"CloudFront-Key-Pair-Id={KEY_ID}; Path=/images/x/; Secure; HttpOnly; SameSite=None; Partitioned; "
        f"Domain=.example.com; {EXPIRES}"
    )


def test_a_cookie_does_not_show_its_value(noon: SignedPolicy) -> None:
    for cookie in make_cookies(noon, "/images/x/", PLAIN):
        assert cookie.value not in f"{cookie!r} {cookie} {[cookie]}"


def test_values_need_no_quoting(signer: CloudFrontSigner) -> None:
    for cookie in cookies_of(signer, DISK, PLAIN):
        assert not set(cookie.value) & set(' ",;\\.%+/=')
        assert len(cookie.as_header()) < 4096


def test_each_image_has_its_own_path(signer: CloudFrontSigner) -> None:
    locations = [DISK, CD, NEXT_DISK, ImageLocation("", "alice", "disk", "v1")]
    paths = [{c.attributes[0] for c in cookies_of(signer, location, PLAIN)} for location in locations]
    assert paths == [{f"Path={location.path}/"} for location in locations]
    for one, other in itertools.permutations(locations, 2):
        assert not f"{one.path}/".startswith(f"{other.path}/")


class Answer:
    """As much of a response as a cookie jar looks at."""

    def __init__(self, cookies: tuple[SignedCookie, ...]) -> None:
        self._headers = Message()
        for cookie in cookies:
            self._headers["Set-Cookie"] = cookie.as_header()

    def info(self) -> Message:
        return self._headers


def sent(jar: CookieJar, url: str) -> list[tuple[str, str]]:
    request = Request(url)
    jar.add_cookie_header(request)
    header = request.get_header("Cookie", "")
    return [(name, value) for name, _, value in (pair.partition("=") for pair in header.split("; ") if pair)]


@pytest.fixture
def jar(signer: CloudFrontSigner) -> CookieJar:
    """A jar that got the cookies of a disk, of a CD, and of the disk's next version."""
    jar = CookieJar()
    for location in (DISK, CD, NEXT_DISK):
        jar.extract_cookies(Answer(cookies_of(signer, location, SHARED)), Request(API))  # type: ignore[arg-type]
    return jar


def test_a_jar_keeps_the_cookies_of_every_image(jar: CookieJar) -> None:
    kept = sorted((cookie.path, cookie.name) for cookie in jar)
    assert kept == sorted((f"{place.path}/", name) for place in (DISK, CD, NEXT_DISK) for name in NAMES)
    assert all(cookie.secure and cookie.domain == ".example.com" and cookie.expires for cookie in jar)


@pytest.mark.parametrize("location", [DISK, CD, NEXT_DISK], ids=["disk", "cd", "next disk"])
@pytest.mark.parametrize("name", ["disk.img", "manifest.json", "chunks/00000042.bin"])
def test_an_image_gets_its_own_cookies_and_no_others(
    name: str, location: ImageLocation, jar: CookieJar, signer: CloudFrontSigner, edge: Edge
) -> None:
    url = f"{EDGE}{location.path}/{name}"
    cookies = sent(jar, url)
    assert sorted(cookies) == sorted(
        (cookie.name, cookie.value) for cookie in cookies_of(signer, location, SHARED)
    )
    assert edge.admits_cookies(url, dict(cookies), time.time())


@pytest.mark.parametrize(
    "url",
    [
        f"{EDGE}/images/",
        f"{EDGE}{ImageLocation('/images', 'alice', 'disk', 'v2').path}/disk.img",
        f"{EDGE}{ImageLocation('/images', 'bob', 'disk', 'v1').path}/disk.img",
        f"{EDGE.replace('https', 'http')}{DISK.path}/disk.img",
        f"https://cdn.example.org{DISK.path}/disk.img",
    ],
    ids=["base path", "another version", "another owner", "no TLS", "another domain"],
)
def test_nothing_else_gets_cookies(url: str, jar: CookieJar) -> None:
    assert sent(jar, url) == []
