"""The environment → settings: rules, defaults, mistakes told at once, secrets never told."""

from __future__ import annotations

import re
import traceback
from dataclasses import FrozenInstanceError, fields

import pytest

from image_gateway.settings import MASK, Settings, SettingsError, SettingsSchema, load_settings

LEAST = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1"}
KEY = "{0}BEGIN PRIVATE KEY{0}\nMIIEvSECRETSECRETSECRET\n{0}END PRIVATE KEY{0}".format("-" * 5)
CLOUDFRONT = {
    "CLOUDFRONT_DOMAIN": "d1.cloudfront.net",
    "CLOUDFRONT_KEY_PAIR_ID": "K2JCJMDEHXQW5F",
    "CLOUDFRONT_PRIVATE_KEY_PEM": KEY,
}
VARIABLES = [field.data_key for field in SettingsSchema().fields.values()]
DEFAULTS = {
    "s3_bucket": "images",
    "aws_region": "us-east-1",
    "s3_force_path_style": False,
    "s3_connect_timeout_seconds": 5,
    "s3_read_timeout_seconds": 60,
    "database_url": "sqlite:///.image-gateway/catalog.db",
    "catalog_timeout_seconds": 10,
    "host": "127.0.0.1",
    "port": 3000,
    "trusted_proxy_hops": 0,
    "web_workers": 2,
    "web_threads": 128,
    "graceful_timeout_seconds": 30,
    "log_level": "info",
    "log_format": "json",
    "image_base_path": "/images",
    "multipart_part_size_bytes": 64 * 1024 * 1024,
    "s3_max_object_bytes": 10_000 * 5 * 2**30,
    "upload_ttl_seconds": 604_800,
    "upload_max_seconds": 30 * 86_400,
    "quota_open_uploads": 100,
    "quota_shares_per_image": 200,
    "quota_links_per_image": 100,
    "sha256_check_max_bytes": 256 * 2**20,
    "quota_images": None,
    "quota_bytes": None,
    "quota_bytes_per_image": None,
    "presigned_url_ttl_seconds": 3600,
    "image_cache_control": "private-no-store",
    "cors_allow_origin": ("*",),
    "cross_origin_resource_policy": "same-site",
    "cloudfront_auth_mode": "cookie",
    "cloudfront_cookie_samesite": "None",
    "cloudfront_cookie_partitioned": False,
    "cloudfront_signed_ttl_seconds": 43_200,
    "auth_mode": "dev",
    "allow_insecure_dev_auth": False,
    "oidc_issuer": None,
    "oidc_audience": (),
    "oidc_jwks_url": None,
    "oidc_user_claim": "sub",
    "oidc_admin_claim": None,
    "oidc_leeway_seconds": 30,
    "hide_foreign_images": False,
    "gateway_auth_mode": "url",
    "lease_keys": (),
    "lease_ttl_seconds": 600,
    "lease_max_ttl_seconds": 3600,
    "lease_session_seconds": 43_200,
    "lease_grace_seconds": 300,
    "lease_admin_seconds": 3600,
    "lease_cookie_samesite": "None",
    "lease_cookie_partitioned": False,
    "rate_limits": True,
    "rate_limit_storage_url": "memory://",
    "rate_limit_create": "120/minute",
    "rate_limit_part_urls": "30000/minute",
    "rate_limit_complete": "240/minute",
    "rate_limit_leases": "120/minute",
    "rate_limit_redeem": "30/minute",
    "rate_limit_failed_auth": "60/minute",
    "rate_limit_per_address": "1200/minute",
    "send_timeout_seconds": 30,
    "stream_queue_seconds": 5,
    "access_cache_seconds": 2,
    "range_cache_max_bytes": 10 * 2**30,
    "range_cache_block_bytes": 2**20,
    "server_timing": False,
    "tracing": False,
    "edge_host": "127.0.0.1",
    "edge_port": 8080,
    "edge_internal_port": 8081,
    **dict.fromkeys(["edge_token", "edge_tls_certificate", "edge_tls_certificate_key", "edge_user"]),
    **dict.fromkeys(["edge_workers", "edge_resolver", "edge_report_address"]),
    "edge_worker_connections": 8192,
    "edge_gateway": (),
    "edge_real_ip_from": (),
    "edge_ca_file": "/etc/ssl/certs/ca-certificates.crt",
    "edge_cache_dir": "/var/cache/nginx",
    "edge_cache_max_bytes": 10 * 2**30,
    "edge_slice_bytes": 2**19,
    "edge_run_dir": "/run",
    "edge_log_dir": "/var/log/nginx",
    "edge_connections_per_address": 512,
    "edge_requests_per_second": 200,
    **dict.fromkeys(["max_streams", "max_streams_per_user", "range_cache_dir", "metrics_port"]),
    "metrics_host": "127.0.0.1",
    "metrics_token": None,
    "public_url": None,
    "allowed_hosts": (),
    **dict.fromkeys(["s3_endpoint", "s3_public_endpoint", "cloudfront_domain", "cloudfront_key_pair_id"]),
    **dict.fromkeys(["cloudfront_private_key_pem", "cloudfront_cookie_domain"]),
}


def load(**environ: str) -> Settings:
    return load_settings({**LEAST, **environ})


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    return caught.value.problems


def test_defaults() -> None:
    assert {field.name: getattr(load(), field.name) for field in fields(Settings)} == DEFAULTS
    assert not load().has_cloudfront
    assert load(**CLOUDFRONT).has_cloudfront


@pytest.mark.parametrize("empty", ["", "  ", "\t\n"], ids=repr)
@pytest.mark.parametrize("variable", [name for name in VARIABLES if name not in LEAST])
def test_an_empty_variable_is_a_missing_one(variable: str, empty: str) -> None:
    assert load(**{variable: empty}) == load()


@pytest.mark.parametrize("empty", [{}, {"S3_BUCKET": "", "AWS_REGION": "  "}], ids=["missing", "empty"])
def test_required_variables(empty: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(empty)
    told = [line.split(":")[0] for line in caught.value.problems]
    assert told == ["AWS_REGION is required", "S3_BUCKET is required"]


def test_other_variables_are_none_of_our_business() -> None:
    assert load(PATH="/bin", S3_BUCKETS="x", port="80") == load()


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        load().port = 80  # type: ignore[misc]


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


def test_cache_control() -> None:
    assert load().cache_control == "private, no-store, no-transform"
    public = load(IMAGE_CACHE_CONTROL="public-immutable")
    assert public.cache_control == "public, max-age=31536000, immutable, no-transform"


def shown_by(settings: Settings) -> str:
    return f"{settings!r} {settings} {dict(settings.masked())}"


def test_masked_shows_every_variable_once_and_in_its_own_spelling() -> None:
    shown = list(load(PORT="80", CORS_ALLOW_ORIGIN="https://a.example,https://b.example").masked())
    assert [name for name, _ in shown] == VARIABLES
    assert dict(shown)["PORT"] == "80"
    assert dict(shown)["S3_FORCE_PATH_STYLE"] == "false"
    assert dict(shown)["CORS_ALLOW_ORIGIN"] == "https://a.example,https://b.example"
    assert dict(shown)["CLOUDFRONT_PRIVATE_KEY_PEM"] == ""


def test_the_private_key_is_not_shown() -> None:
    settings = load(**CLOUDFRONT)
    assert settings.cloudfront_private_key_pem == KEY
    assert dict(settings.masked())["CLOUDFRONT_PRIVATE_KEY_PEM"] == MASK
    assert "SECRET" not in shown_by(settings)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:hunter2",
        "postgresql+psycopg://u/x:hunter2@h",
        "postgresql+psycopg:/u:hunter2@h",
        "hunter2",
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown_either(url: str) -> None:
    shown = dict(load(DATABASE_URL=url).masked())["DATABASE_URL"]
    assert MASK in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("variable", ["S3_ENDPOINT", "CORS_ALLOW_ORIGIN"])
def test_who_logs_in_to_a_url_is_not_shown(variable: str) -> None:
    (line,) = problems(**{variable: "http://hunter2@h"})
    assert line.startswith(f"{variable}=http://{MASK}@h ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:hunter2@db/images",
        "postgresql+psycopg://:hunter2@db/images",
        "postgresql+psycopg://user:x%40hunter2@db:5432/images?sslmode=require",
        "postgresql+psycopg://user:a/b:hunter2@db/images",
        "postgresql+psycopg://user:x@hunter2@db/images",
        "postgresql+psycopg://user@corp:hunter2@db/images",
        "postgresql+psycopg://db/images?user=me&password=hunter2",
    ],
)
def test_the_database_password_is_not_shown(url: str) -> None:
    settings = load(DATABASE_URL=url)
    assert settings.database_url == url
    assert "hunter2" not in shown_by(settings)
    assert "@db" in shown_by(settings) or "//db/" in shown_by(settings)


@pytest.mark.parametrize(
    "environ",
    [
        {"CLOUDFRONT_PRIVATE_KEY_PEM": KEY},
        {**CLOUDFRONT, "CLOUDFRONT_DOMAIN": "https://d1.cloudfront.net", "PORT": "x"},
        {**CLOUDFRONT, "CLOUDFRONT_KEY_PAIR_ID": KEY},
        {"S3_ENDPOINT": "http://user:SECRET@s3"},
    ],
    ids=["key alone", "other mistakes", "key in the wrong variable", "credentials in an endpoint"],
)
def test_mistakes_hold_no_secret_and_take_one_line_each(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert all(len(line.splitlines()) == 1 for line in caught.value.problems)
