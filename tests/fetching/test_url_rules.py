"""URLs that are refused before any name is looked up, and the form of those that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.errors import BadRequest
from image_gateway.fetching.public_addresses import is_public
from image_gateway.fetching.url_rules import FetchRules, check_url, display_url, parse_url
from tests.fetching.refused_urls import REFUSED

PUBLIC = FetchRules(
    allow_http=True, allow_private=False, allowed_hosts=(), connect_seconds=1, stall_seconds=1
)
PRIVATE = FetchRules(
    allow_http=True, allow_private=True, allowed_hosts=(), connect_seconds=1, stall_seconds=1
)
HTTPS_ONLY = FetchRules(
    allow_http=False, allow_private=False, allowed_hosts=(), connect_seconds=1, stall_seconds=1
)


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        check_url(url, PUBLIC)


ACCEPTED = {
    "https://example.org": "https://example.org/",
    "HTTPS://EXAMPLE.ORG:443/Disk.IMG?A=B#part": "https://example.org/Disk.IMG?A=B",
    "http://example.org:80/": "http://example.org/",
    "http://example.org:443/": "http://example.org:443/",
    "https://example.org:8443?q": "https://example.org:8443/?q",
    "https://example.org./a": "https://example.org/a",
    "https://example.org:/a@b:c": "https://example.org/a@b:c",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://a_b.example.org/": "https://a_b.example.org/",
    "https://1.1.1.1/": "https://1.1.1.1/",
    "https://[2606:4700:0:0::1111]/": "https://[2606:4700::1111]/",
    "https://[64:ff9b::1.1.1.1]/": "https://[64:ff9b::101:101]/",
    "https://[::ffff:1.1.1.1]/": "https://[::ffff:101:101]/",
    "https://[2002:101:101::1]/": "https://[2002:101:101::1]/",
    "https://0x7f.example.org/": "https://0x7f.example.org/",
    "https://127.0.0.1.example.org/": "https://127.0.0.1.example.org/",
}


@pytest.mark.parametrize(("url", "normalised"), ACCEPTED.items())
def test_accepted_and_normalised(url: str, normalised: str) -> None:
    assert check_url(url, PUBLIC) == normalised
    assert check_url(normalised, PUBLIC) == normalised


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/a", "http://[::1]/", "http://localhost/", "http://10.0.0.1/"]
)
def test_private_addresses_when_allowed(url: str) -> None:
    assert check_url(url, PRIVATE) == url


@pytest.mark.parametrize("url", ["http://2130706433/", "http://0177.0.0.1/", "http://[fe80::1%25eth0]/"])
def test_ambiguous_addresses_stay_refused_when_private_ones_are_allowed(url: str) -> None:
    with pytest.raises(BadRequest):
        check_url(url, PRIVATE)


def test_http_must_be_allowed() -> None:
    with pytest.raises(BadRequest, match="use https"):
        check_url("http://example.org/", HTTPS_ONLY)
    assert check_url("https://example.org/", HTTPS_ONLY) == "https://example.org/"


def allowing(*hosts: str) -> FetchRules:
    return FetchRules(
        allow_http=False, allow_private=False, allowed_hosts=hosts, connect_seconds=1, stall_seconds=1
    )


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("example.org", "example.org"),
        ("Example.org.", "example.org"),
        ("example.org", "EXAMPLE.ORG."),
        ("*.example.org", "a.example.org"),
        ("*.example.org", "a.b.example.org"),
        ("1.1.1.1", "1.1.1.1"),
        ("[2606:4700::1111]", "[2606:4700:0::1111]"),
        ("2606:4700:0::1111", "[2606:4700::1111]"),
    ],
)
def test_allowed_hosts(pattern: str, host: str) -> None:
    assert check_url(f"https://{host}/", allowing("other.example", pattern)).startswith("https://")


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("example.org", "a.example.org"),
        ("example.org", "example.org.evil.example"),
        ("*.example.org", "example.org"),
        ("*.example.org", "evilexample.org"),
        ("*.1.1", "1.1.1.1"),
        ("::x", "[2606:4700::1111]"),
        ("", "example.org"),
    ],
)
def test_other_hosts(pattern: str, host: str) -> None:
    with pytest.raises(BadRequest, match="not one of the allowed hosts"):
        check_url(f"https://{host}/", allowing(pattern))


def test_an_allowed_host_may_still_not_be_private() -> None:
    with pytest.raises(BadRequest, match="not a public address"):
        check_url("https://127.0.0.1/", allowing("127.0.0.1"))


@pytest.mark.parametrize("url", [f"{url}?secret-token" for url in REFUSED if "?" not in url])
def test_messages_do_not_repeat_the_query(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_url(url, PUBLIC)
    assert "secret" not in caught.value.message


def test_the_parts_do_not_show_the_query() -> None:
    assert "secret" not in repr(parse_url("https://example.org/?secret", PUBLIC))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/disk.img?X-Amz-Signature=secret#secret", "https://example.org/disk.img"),
        ("https://user:secret@example.org:8443/a@b", "https://example.org:8443/a@b"),
        ("https://example.org/\x1b[31m", "https://example.org/\\x1b[31m"),
        ("https://user:sec?ret@example.org/", "a malformed URL"),
        ("secret", "a malformed URL"),
        (f"https://example.org/{'a' * 300}", f"https://example.org/{'a' * 180}"),
    ],
)
def test_display(url: str, shown: str) -> None:
    assert display_url(url) == shown


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/disk.img.gz?b=/c", "disk.img.gz"),
        ("/My%20disk.img", "My disk.img"),
        ("/a%2F..%2Fdisk.img", "disk.img"),
        ("/..%5Cdisk.img", "disk.img"),
        ("/a%0d%0ab", "a\\r\\nb"),
        ("/", "example.org"),
        ("", "example.org"),
        ("/a/%2e%2e", "example.org"),
        (f"/{'a' * 300}.img.zst", f"{'a' * 247}.img.zst"),
    ],
)
def test_file_names(path: str, name: str) -> None:
    assert parse_url(f"https://example.org{path}", PUBLIC).file_name == name


@given(st.ip_addresses(v=4))
def test_embedded_addresses_are_judged_as_they_are(address: object) -> None:
    packed = int(str(address).split(".")[0]), *map(int, str(address).split(".")[1:])
    high, low = packed[0] << 8 | packed[1], packed[2] << 8 | packed[3]
    judged = is_public(str(address))
    assert is_public(f"::ffff:{address}") == judged
    assert is_public(f"64:ff9b::{address}") == judged
    assert is_public(f"2002:{high:x}:{low:x}::1") == judged
    assert not is_public(f"::{address}")


@given(st.ip_addresses(v=6))
def test_only_global_unicast_is_public(address: object) -> None:
    text = str(address)
    if is_public(text) and not text.startswith(("::ffff:", "64:ff9b::")):
        assert text[0] in "23"
    assert not is_public(f"{text}%eth0")


@given(st.text(alphabet="htps:/@\\[]%.0127axlocs?#\t\u2024\uff11-", max_size=40))
def test_any_text_is_refused_or_normalised_for_good(text: str) -> None:
    for prefix in ("", "http://", "https://example.org"):
        try:
            normalised = check_url(prefix + text, PUBLIC)
        except BadRequest:
            continue
        assert check_url(normalised, PUBLIC) == normalised
