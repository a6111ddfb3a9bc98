"""ShareRepository with real keys, judged as CloudFront judges them: what they open, and what stays shut."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from image_gateway.cdn.keys import load_signing_key
from image_gateway.cdn.signer import CloudFrontSigner, SignedPolicy
from image_gateway.protocol.layout import ImageLocation
from tests.cdn.edge import Edge, decode, matches

NOW, LIFETIME = 1_704_110_401, 3600
KEY_ID = "K2JCJMDEHXQW5F"
IMAGE = ImageLocation("/images", "alice", "image-1", "v1")


def url_of(location: ImageLocation, name: str = "") -> str:
    return f"https://d1.cloudfront.net{location.path}{name}"


INSIDE = ["/disk.img", "/manifest.json", "/chunks/00000000.bin", "/chunks/00499999.bin", "/"]
OUTSIDE = {
    "another image": url_of(dataclasses.replace(IMAGE, image_id="image-2"), "/disk.img"),
    "another version": url_of(dataclasses.replace(IMAGE, version="v2"), "/disk.img"),
    "a version that starts alike": url_of(dataclasses.replace(IMAGE, version="v10"), "/disk.img"),
    "another owner": url_of(dataclasses.replace(IMAGE, owner="bob"), "/disk.img"),
    "another base path": url_of(dataclasses.replace(IMAGE, base_path=""), "/disk.img"),
    "the prefix without a slash": url_of(IMAGE),
    "another host": url_of(IMAGE, "/disk.img").replace("d1.", "d2."),
    "another scheme": url_of(IMAGE, "/disk.img").replace("https:", "http:"),
    "the root": "https://d1.cloudfront.net/",
}


@pytest.fixture
def edge(private_key: RSAPrivateKey) -> Edge:
    return Edge(KEY_ID, private_key.public_key())


@pytest.fixture
def policy(pkcs8_pem: str, any_back_end: None) -> SignedPolicy:
    signer = CloudFrontSigner(KEY_ID, load_signing_key(pkcs8_pem), LIFETIME, lambda: NOW)
    return signer.sign_policy(url_of(IMAGE))


def test_cryptography_verifies_the_signature(policy: SignedPolicy, private_key: RSAPrivateKey) -> None:
    policy, signature = decode(policy.policy), decode(policy.signature)
    public = private_key.public_key()
    public.verify(signature, policy, PKCS1v15(), hashes.SHA1())
    with pytest.raises(InvalidSignature):
        public.verify(signature, policy + b" ", PKCS1v15(), hashes.SHA1())


@pytest.mark.parametrize("name", INSIDE)
def test_urls_and_cookies_open_all_of_the_image(name: str, policy: SignedPolicy, edge: Edge) -> None:
    url = url_of(IMAGE, name)
    assert edge.admits_url(policy.sign_url(url), NOW)
    assert edge.admits_cookies(url, policy.cookie_values(), NOW)


@pytest.mark.parametrize("place", OUTSIDE)
def test_urls_and_cookies_open_nothing_else(place: str, policy: SignedPolicy, edge: Edge) -> None:
    assert not edge.admits_url(policy.sign_url(OUTSIDE[place]), NOW)
    assert not edge.admits_cookies(OUTSIDE[place], policy.cookie_values(), NOW)


def test_a_grant_opens_until_it_expires(policy: SignedPolicy, edge: Edge) -> None:
    signed, expiry = policy.sign_url(url_of(IMAGE, "/disk.img")), policy.expires_at.timestamp()
    assert all(edge.admits_url(signed, now) for now in (NOW + LIFETIME, expiry - 1))
    assert not any(edge.admits_url(signed, now) for now in (expiry, expiry + 1))


@pytest.mark.parametrize("field", ["policy", "signature"])
def test_a_changed_grant_opens_nothing(field: str, policy: SignedPolicy, edge: Edge) -> None:
    text = getattr(policy, field)
    changed = dataclasses.replace(
        policy, **{field: text[:20] + ("A" if text[20] != "A" else "B") + text[21:]}
    )
    assert not edge.admits_url(changed.sign_url(url_of(IMAGE, "/disk.img")), NOW)


def test_another_key_opens_nothing(policy: SignedPolicy, edge: Edge) -> None:
    signed = policy.sign_url(url_of(IMAGE, "/disk.img"))
    assert not Edge(KEY_ID, generate_private_key(65537, 2048).public_key()).admits_url(signed, NOW)
    assert not Edge("K0THER", edge.public_key).admits_url(signed, NOW)


@pytest.mark.parametrize(
    ("resource", "url", "expected"),
    [
        ("https://d/a/*", "https://d/a/b", True),
        ("https://d/a/*", "https://d/a/b/c", True),
        ("https://d/a/*", "https://d/a/", True),
        ("https://d/a/*", "https://d/a", False),
        ("https://d/a/*", "https://d/ab/c", False),
        ("https://d/a.img", "https://d/aximg", False),
        ("https://d/a*c", "https://d/abbc", True),
        ("https://*.d/a", "https://x.d/a", True),
        ("https://*.d/a", "https://x/y.d/a", False),
    ],
)
def test_the_edge_matches_as_documented(resource: str, url: str, expected: bool) -> None:
    assert matches(resource, url) is expected
