"""The environment → settings: the rule of each variable, and mistakes told at once."""

from __future__ import annotations

import re

import pytest

from image_gateway.settings import SettingsError, load_settings
from tests.support.environments import CLOUDFRONT, load, problems


def test_every_mistake_is_told_at_once() -> None:
    mistakes = {
        "AUTH_MODE": "open",
        "CORS_ALLOW_ORIGIN": "example.com",
        "IMAGE_BASE_PATH": "/a?b",
        "PORT": "80x",
        "S3_BUCKET": "x",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings({**mistakes, "CLOUDFRONT_DOMAIN": "d1.cloudfront.net"})
    missing = {"AWS_REGION", "CLOUDFRONT_KEY_PAIR_ID", "CLOUDFRONT_PRIVATE_KEY_PEM"}
    assert [re.split("[= ]", line)[0] for line in caught.value.problems] == sorted(missing | set(mistakes))
    assert all(line in str(caught.value) for line in caught.value.problems)


DIGITS_RULE = "must be a whole number in decimal digits"
ENDPOINT_RULE = "must be an http(s) URL without a path, like http://127.0.0.1:9000"
ORIGIN_RULE = "must be * or http(s) origins like https://app.example.com, comma-separated"
PUBLIC_RULE = "must be one http(s) origin without a path, like https://images.example.com"
HOSTS_RULE = "must be host or host:port, comma-separated, like images.example.com"
PATH_RULE = "must be a URL path like /images: letters, digits, - _ ~ and inner dots between slashes"
HTTP_MISTAKES = "http:// http://:9 http://@h http://h? http://h# http://h?x http://h:99999 http://[::1"
NUMBER_MISTAKES = "80x 8_0 +80 -1 8.0 1e3 0x50 \u0663 9999999999999999999"
PATH_MISTAKES = "/../x /a/../b /.. /. /.a /a/./b /a?b /a#b /a* /%2e%2e /a\\b /\u00e9 http://h"
MISTAKES = [
    ("PORT", DIGITS_RULE, [*NUMBER_MISTAKES.split(), " +80", "8 0"]),
    ("PORT", "must be 1 to 65535", ["0", "000", "65536", "9" * 18]),
    ("PRESIGNED_URL_TTL_SECONDS", "must be 1 to 604800", ["0", "604801"]),
    ("CLOUDFRONT_SIGNED_TTL_SECONDS", "must be 60 to 604800", ["59", "604801"]),
    ("MULTIPART_PART_SIZE_BYTES", "must be 5242880 to 5368709120", ["5242879", "5368709121"]),
    ("TRUSTED_PROXY_HOPS", "must be 0 to 10", ["11"]),
    ("AUTH_MODE", "must be one of dev, oidc, none", ["Dev", "devnone"]),
    ("CLOUDFRONT_COOKIE_SAMESITE", "must be one of None, Lax, Strict", ["none"]),
    ("CLOUDFRONT_COOKIE_PARTITIONED", "must be true or false", ["2", "maybe"]),
    ("S3_FORCE_PATH_STYLE", "must be true or false", ["2", "tRue", "yes please"]),
    ("IMAGE_BASE_PATH", PATH_RULE, PATH_MISTAKES.split()),
    ("IMAGE_BASE_PATH", PATH_RULE, ["a b", "/../", "a/.."]),
    ("S3_ENDPOINT", ENDPOINT_RULE, HTTP_MISTAKES.split()),
    ("S3_ENDPOINT", ENDPOINT_RULE, ["h:9000", "ftp://h", "//h", "http://h/x", "http://h h", "http://h:x"]),
    ("S3_PUBLIC_ENDPOINT", "needs S3_ENDPOINT to be set as well", ["http://s3.example"]),
    ("CORS_ALLOW_ORIGIN", ORIGIN_RULE, HTTP_MISTAKES.split()),
    ("CORS_ALLOW_ORIGIN", ORIGIN_RULE, ["null", "h", "ws://h", "http://h/", "http://h/x", "http://*.h"]),
    ("PUBLIC_URL", PUBLIC_RULE, HTTP_MISTAKES.split()),
    ("PUBLIC_URL", PUBLIC_RULE, ["h", "ftp://h", "http://h/x", "*", "http://a,http://b"]),
    ("ALLOWED_HOSTS", HOSTS_RULE, ["http://h", "h/", "h,", "*", "a b", "u@h", "h:x", "h:99999"]),
    ("CORS_ALLOW_ORIGIN", ORIGIN_RULE, ["*,http://h", "http://h,", ",", "http://a http://b"]),
]


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        pytest.param(variable, value, rule, id=f"{variable}={ascii(value)[1:25]}")
        for variable, rule, values in MISTAKES
        for value in values
    ],
)
def test_a_mistake_names_variable_value_and_rule(variable: str, value: str, rule: str) -> None:
    assert problems(**{variable: value}) == [f"{variable}={value.strip()} {rule}"]


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("PORT", "9" * 5000, DIGITS_RULE),
        ("IMAGE_BASE_PATH", "/" + "a" * 256, PATH_RULE),
        ("IMAGE_BASE_PATH", "/a\x00b", PATH_RULE),
        ("IMAGE_BASE_PATH", "/a\nb", PATH_RULE),
    ],
    ids=["5000 digits", "256 characters", "NUL", "line end"],
)
def test_a_long_or_unprintable_value_takes_one_short_line(variable: str, value: str, rule: str) -> None:
    (line,) = problems(**{variable: value})
    assert line.startswith(f"{variable}={value[:2]}")
    assert line.endswith(f" {rule}")
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.parametrize("value", ["sesame", "127.0.0.1:6379", "://h", "redis:/h"])
def test_a_storage_of_counters_is_a_url(value: str) -> None:
    (line,) = problems(RATE_LIMIT_STORAGE_URL=value)
    assert line.startswith("RATE_LIMIT_STORAGE_URL=")
    assert line.endswith(" must be a URL like redis://127.0.0.1:6379, or memory://")
    assert "sesame" not in line


SOUND = [
    ("PORT", {"1": 1, "65535": 65535, " 80 ": 80, "0080": 80}),
    ("PRESIGNED_URL_TTL_SECONDS", {"1": 1, "604800": 604_800}),
    ("CLOUDFRONT_SIGNED_TTL_SECONDS", {"60": 60, "604800": 604_800}),
    ("MULTIPART_PART_SIZE_BYTES", {"5242880": 5_242_880, "5368709120": 5_368_709_120}),
    ("S3_FORCE_PATH_STYLE", dict.fromkeys(["true", "True", "TRUE", "1", "yes", "on"], True)),
    ("S3_FORCE_PATH_STYLE", dict.fromkeys(["false", "False", "FALSE", "0", "no", "off"], False)),
    ("IMAGE_BASE_PATH", {"/": "", "//": "", "images": "/images", "/images/": "/images", "//a//b/": "/a/b"}),
    ("IMAGE_BASE_PATH", {path: path for path in ("/a.b/c-d_e~f", "/a..b", "/" + "a" * 255)}),
    (
        "S3_ENDPOINT",
        {url: url for url in ("http://127.0.0.1:9000", "https://s3.example", "http://[::1]:9000")},
    ),
    ("S3_ENDPOINT", {"https://s3.example/": "https://s3.example"}),
    ("PUBLIC_URL", {"https://Images.Example:443/": "https://images.example", "http://h:8": "http://h:8"}),
    ("ALLOWED_HOSTS", {"A.example, b:8": ("a.example", "b:8"), "[::1]:3000": ("[::1]:3000",)}),
    ("CORS_ALLOW_ORIGIN", {"*": ("*",), "http://localhost:8080": ("http://localhost:8080",)}),
    ("CORS_ALLOW_ORIGIN", {"https://a.example,http://b:8": ("https://a.example", "http://b:8")}),
    ("CORS_ALLOW_ORIGIN", {" https://a , https://b ": ("https://a", "https://b")}),
    ("CORS_ALLOW_ORIGIN", {"https://a,https://a": ("https://a",), "HTTPS://App.Ex": ("https://app.ex",)}),
]


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        pytest.param(variable, text, expected, id=f"{variable}={text[:25]}")
        for variable, values in SOUND
        for text, expected in values.items()
    ],
)
def test_sound_values(variable: str, text: str, expected: object) -> None:
    assert getattr(load(**{variable: text}), variable.lower()) == expected


PARTIAL = [
    {name for bit, name in enumerate(CLOUDFRONT) if chosen >> bit & 1}
    for chosen in range(1, 2 ** len(CLOUDFRONT) - 1)
]


@pytest.mark.parametrize("given", PARTIAL, ids=lambda names: "+".join(sorted(names)))
def test_half_configured_cloudfront_names_what_is_missing(given: set[str]) -> None:
    lines = problems(**{name: CLOUDFRONT[name] for name in given})
    rule = "is missing: CloudFront needs its domain, key pair id and private key together"
    assert lines == [f"{name} {rule}" for name in sorted(CLOUDFRONT) if name not in given]


@pytest.mark.parametrize(
    "environ",
    [
        {**CLOUDFRONT, "CLOUDFRONT_DOMAIN": "https://d1.cloudfront.net"},
        {**CLOUDFRONT, "CLOUDFRONT_KEY_PAIR_ID": "K-1"},
        {"S3_ENDPOINT": "ftp://s3", "S3_PUBLIC_ENDPOINT": "https://s3.example"},
    ],
    ids=["domain", "key pair id", "endpoint"],
)
def test_a_wrong_value_is_not_called_missing(environ: dict[str, str]) -> None:
    (line,) = problems(**environ)
    assert "missing" not in line
    assert "needs S3_ENDPOINT" not in line


@pytest.mark.parametrize("same_site", ["Lax", "Strict"])
def test_partitioned_cookies_need_same_site_none(same_site: str) -> None:
    lines = problems(CLOUDFRONT_COOKIE_PARTITIONED="true", CLOUDFRONT_COOKIE_SAMESITE=same_site)
    assert lines == [
        "CLOUDFRONT_COOKIE_PARTITIONED=true must not be true unless CLOUDFRONT_COOKIE_SAMESITE=None"
    ]


def test_partitioned_cookies() -> None:
    assert load(CLOUDFRONT_COOKIE_PARTITIONED="true").cloudfront_cookie_partitioned
    assert not load(CLOUDFRONT_COOKIE_SAMESITE="Lax").cloudfront_cookie_partitioned
