"""The settings schema: validation, default and description of every environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from image_gateway.protocol.parts import MAX_OBJECT_SIZE, MAX_PART_SIZE, MIB, MIN_PART_SIZE
from image_gateway.settings.access_schema import AccessSchema
from image_gateway.settings.edge_schema import EdgeSchema
from image_gateway.settings.fields import HOST_ADDRESS, boolean, check_endpoint, choice, doc, matching, number
from image_gateway.settings.jobs_schema import JobsSchema
from image_gateway.settings.origin_schema import OriginSchema
from image_gateway.settings.quota_schema import QuotaSchema
from image_gateway.settings.session_schema import SessionSchema
from image_gateway.settings.streaming_schema import StreamingSchema

SEVEN_DAYS = 604_800
CLOUDFRONT_TRIO = ("CLOUDFRONT_DOMAIN", "CLOUDFRONT_KEY_PAIR_ID", "CLOUDFRONT_PRIVATE_KEY_PEM")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", re.ASCII)
_BASE_PATH = re.compile(r"(?=.{0,512}\Z)/*([A-Za-z0-9_~-][A-Za-z0-9._~-]{0,254}(/+|$))*", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
CACHE_CONTROL = {
    "private-no-store": "private, no-store, no-transform",
    "public-immutable": "public, max-age=31536000, immutable, no-transform",
}


class ServiceSchema(Schema):
    """Store, server, uploads and CloudFront."""

    s3_bucket = matching(
        _BUCKET,
        "must be a bucket name of 3 to 63 letters, digits, dots, hyphens",
        data_key="S3_BUCKET",
        required=True,
        metadata=doc("Bucket that stores the images", "images"),
    )
    aws_region = matching(
        re.compile(r"[a-z0-9-]{2,40}"),
        "must be a region name like eu-central-1",
        data_key="AWS_REGION",
        required=True,
        metadata=doc(
            "Region of the bucket; any region name, such as us-east-1, for a local store", "us-east-1"
        ),
    )
    s3_endpoint = fields.String(
        data_key="S3_ENDPOINT",
        load_default=None,
        validate=check_endpoint,
        metadata=doc("Endpoint URL of an S3-compatible store; AWS when empty", "http://127.0.0.1:9000"),
    )
    s3_public_endpoint = fields.String(
        data_key="S3_PUBLIC_ENDPOINT",
        load_default=None,
        validate=check_endpoint,
        metadata=doc("Endpoint URL for presigned URLs, reachable by browsers; S3_ENDPOINT when empty"),
    )
    s3_force_path_style = boolean(
        data_key="S3_FORCE_PATH_STYLE",
        load_default=False,
        metadata=doc("Use path-style bucket addressing, required by MinIO and SeaweedFS", "true"),
    )
    s3_connect_timeout_seconds = number(
        1,
        300,
        data_key="S3_CONNECT_TIMEOUT_SECONDS",
        load_default=5,
        metadata=doc("Connect timeout for the store"),
    )
    s3_read_timeout_seconds = number(
        1,
        3600,
        data_key="S3_READ_TIMEOUT_SECONDS",
        load_default=60,
        metadata=doc("Read timeout for the store, per socket read"),
    )
    database_url = fields.String(
        data_key="DATABASE_URL",
        load_default="sqlite:///.image-gateway/catalog.db",
        metadata=doc(
            "Catalog database: sqlite:///file or postgresql+psycopg://user:password@host/name", database=True
        ),
    )
    catalog_timeout_seconds = number(
        1,
        3600,
        data_key="CATALOG_TIMEOUT_SECONDS",
        load_default=10,
        metadata=doc("PostgreSQL statement timeout; does not apply to migrations"),
    )
    host = matching(
        HOST_ADDRESS,
        "must be an address or host name",
        data_key="HOST",
        load_default="127.0.0.1",
        metadata=doc("Listen address; the container image sets 0.0.0.0"),
    )
    port = number(1, 65_535, data_key="PORT", load_default=3000, metadata=doc("Listen port", "3000"))
    trusted_proxy_hops = number(
        0,
        10,
        data_key="TRUSTED_PROXY_HOPS",
        load_default=0,
        metadata=doc("Number of proxies in front whose X-Forwarded-For, -Proto and -Host are trusted"),
    )
    web_workers = number(
        1, 256, data_key="WEB_WORKERS", load_default=2, metadata=doc("gunicorn worker processes")
    )
    web_threads = number(
        2,
        1024,
        data_key="WEB_THREADS",
        load_default=128,
        metadata=doc("Threads per worker; every running or queued stream occupies one"),
    )
    graceful_timeout_seconds = number(
        1,
        86_400,
        data_key="GRACEFUL_TIMEOUT_SECONDS",
        load_default=30,
        metadata=doc("How long running responses may continue after SIGTERM"),
    )
    log_level = choice(
        "debug",
        "info",
        "warning",
        "error",
        data_key="LOG_LEVEL",
        load_default="info",
        metadata=doc("Minimum severity of log messages"),
    )
    log_format = choice(
        "json",
        "text",
        data_key="LOG_FORMAT",
        load_default="json",
        metadata=doc("Log format: json, or human-readable text"),
    )
    image_base_path = matching(
        _BASE_PATH,
        "must be a URL path like /images: letters, digits, - _ ~ and inner dots between slashes",
        data_key="IMAGE_BASE_PATH",
        load_default="/images",
        metadata=doc("Prefix of object keys and CloudFront paths; / for none"),
    )
    multipart_part_size_bytes = number(
        MIN_PART_SIZE,
        MAX_PART_SIZE,
        data_key="MULTIPART_PART_SIZE_BYTES",
        load_default=64 * MIB,
        metadata=doc("Part size that the API returns to uploading clients, 5 MiB to 5 GiB"),
    )
    s3_max_object_bytes = number(
        1,
        MAX_OBJECT_SIZE,
        data_key="S3_MAX_OBJECT_BYTES",
        load_default=MAX_OBJECT_SIZE,
        metadata=doc("Maximum object size of the store: 48.8 TiB on AWS, 5 TiB on many other stores"),
    )
    upload_ttl_seconds = number(
        3600,
        30 * 86_400,
        data_key="UPLOAD_TTL_SECONDS",
        load_default=7 * 86_400,
        metadata=doc("Idle time after which the sweeper aborts an upload"),
    )
    upload_max_seconds = number(
        3600,
        365 * 86_400,
        data_key="UPLOAD_MAX_SECONDS",
        load_default=30 * 86_400,
        metadata=doc("Maximum total duration of an upload"),
    )
    sha256_check_max_bytes = number(
        0,
        MAX_OBJECT_SIZE,
        data_key="SHA256_CHECK_MAX_BYTES",
        load_default=256 * MIB,
        metadata=doc("Maximum image size for verifying a declared SHA-256 at completion"),
    )
    presigned_url_ttl_seconds = number(
        1,
        SEVEN_DAYS,
        data_key="PRESIGNED_URL_TTL_SECONDS",
        load_default=3600,
        metadata=doc("Lifetime of presigned part URLs"),
    )
    image_cache_control = choice(
        *CACHE_CONTROL,
        data_key="IMAGE_CACHE_CONTROL",
        load_default="private-no-store",
        metadata=doc("Cache-Control of new objects; use public-immutable only if the CDN enforces access"),
    )
    publish_latest = boolean(
        data_key="PUBLISH_LATEST",
        load_default=False,
        metadata=doc("Write latest.json, cached for a minute, beside the versions of a published image"),
    )
    cloudfront_domain = matching(
        _HOST_NAME,
        "must be a host name without scheme or path",
        data_key="CLOUDFRONT_DOMAIN",
        load_default=None,
        metadata=doc(
            "Domain of the CloudFront distribution; requires the next two settings",
            "d111111abcdef8.cloudfront.net",
        ),
    )
    cloudfront_key_pair_id = matching(
        re.compile(r"[A-Za-z0-9]{1,128}"),
        "must be the id of a CloudFront public key, like K2JCJMDEHXQW5F",
        data_key="CLOUDFRONT_KEY_PAIR_ID",
        load_default=None,
        metadata=doc("ID of the public key in the distribution's key group"),
    )
    cloudfront_private_key_pem = fields.String(
        data_key="CLOUDFRONT_PRIVATE_KEY_PEM",
        load_default=None,
        metadata=doc(
            r"RSA 2048 private key: PEM with real or literal \n line breaks, or a file path", secret=True
        ),
    )
    cloudfront_auth_mode = choice(
        "cookie",
        "url",
        data_key="CLOUDFRONT_AUTH_MODE",
        load_default="cookie",
        metadata=doc("What stream-url returns: signed cookies or a signed URL"),
    )
    cloudfront_cookie_domain = matching(
        re.compile(r"\.?" + _HOST_NAME.pattern, re.ASCII),
        "must be a domain like .example.com",
        data_key="CLOUDFRONT_COOKIE_DOMAIN",
        load_default=None,
        metadata=doc(
            "Domain attribute of the signed cookies, common to API and distribution", ".example.com"
        ),
    )
    cloudfront_cookie_samesite = choice(
        "None",
        "Lax",
        "Strict",
        data_key="CLOUDFRONT_COOKIE_SAMESITE",
        load_default="None",
        metadata=doc("SameSite attribute of the signed cookies"),
    )
    cloudfront_cookie_partitioned = boolean(
        data_key="CLOUDFRONT_COOKIE_PARTITIONED",
        load_default=False,
        metadata=doc(
            "Partitioned attribute (CHIPS) of the signed cookies; requires CLOUDFRONT_COOKIE_SAMESITE=None"
        ),
    )
    cloudfront_signed_ttl_seconds = number(
        60,
        SEVEN_DAYS,
        data_key="CLOUDFRONT_SIGNED_TTL_SECONDS",
        load_default=43_200,
        metadata=doc("Minimum lifetime of signed cookies and URLs; must exceed a reading session"),
    )

    # Presence is checked in the raw environment: a variable with an invalid value is not missing.

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_cloudfront(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        missing = [name for name in CLOUDFRONT_TRIO if name not in given]
        if 0 < len(missing) < len(CLOUDFRONT_TRIO):
            text = "is missing: CloudFront needs its domain, key pair id and private key together"
            raise ValidationError({name: [text] for name in missing})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_public_endpoint(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        if "S3_PUBLIC_ENDPOINT" in given and "S3_ENDPOINT" not in given:
            raise ValidationError({"S3_PUBLIC_ENDPOINT": ["needs S3_ENDPOINT to be set as well"]})

    @validates_schema
    def check_partitioned(self, data: dict[str, Any], **_: Any) -> None:
        if data["cloudfront_cookie_partitioned"] and data["cloudfront_cookie_samesite"] != "None":
            text = "must not be true unless CLOUDFRONT_COOKIE_SAMESITE=None"
            raise ValidationError({"CLOUDFRONT_COOKIE_PARTITIONED": [text]})


class SettingsSchema(
    EdgeSchema,
    JobsSchema,
    StreamingSchema,
    SessionSchema,
    AccessSchema,
    OriginSchema,
    QuotaSchema,
    ServiceSchema,
):
    """All settings."""
