"""The environment → settings: defaults, and what is required."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from image_gateway.settings import Settings, SettingsError, load_settings
from tests.support.environments import CLOUDFRONT, LEAST, VARIABLES, load

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
    "oidc_client_id": None,
    "oidc_client_secret": None,
    "oidc_scopes": "openid profile",
    "session_idle_seconds": 43_200,
    "session_max_seconds": 604_800,
    "rate_limit_sign_in": "60/minute",
    "console": True,
    "emulator_v86_path": None,
    "hide_foreign_images": False,
    "gateway_auth_mode": "url",
    "lease_keys": (),
    "lease_ttl_seconds": 600,
    "lease_max_ttl_seconds": 3600,
    "lease_session_seconds": 43_200,
    "lease_grace_seconds": 300,
    "lease_admin_seconds": 3600,
    "audit_days": 90,
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
    "read_ahead_bytes": 2**24,
    "server_timing": False,
    "tracing": False,
    "publish_latest": False,
    "worker_concurrency": 2,
    "worker_claim_seconds": 60,
    "keep_source_objects": False,
    "import_allow_http": False,
    "import_allow_private": False,
    "import_allowed_hosts": (),
    "import_connect_seconds": 10,
    "import_stall_seconds": 60,
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


def test_cache_control() -> None:
    assert load().cache_control == "private, no-store, no-transform"
    public = load(IMAGE_CACHE_CONTROL="public-immutable")
    assert public.cache_control == "public, max-age=31536000, immutable, no-transform"
