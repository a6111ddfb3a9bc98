"""The environment, read once into one frozen `Settings`; all mistakes are reported together.

Each variable is a field of `SettingsSchema`, with its rule, its default and one line of `doc`
(marked `secret` when its value must never be shown). An empty variable counts as missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from image_gateway.protocol.layout import normalise_base_path
from image_gateway.protocol.parts import MAX_PART_SIZE, MIB, MIN_PART_SIZE

MASK = "********"
SEVEN_DAYS = 604_800
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", re.ASCII)
_BASE_PATH = re.compile(r"/*([A-Za-z0-9_~-][A-Za-z0-9._~-]{0,254}(/+|$))*", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_URL_PASSWORD = re.compile(r"(://[^:/@]*):[^@]*@")
CACHE_CONTROL = {
    "private-no-store": "private, no-store, no-transform",
    "public-immutable": "public, max-age=31536000, immutable, no-transform",
}


class SettingsError(Exception):
    """The environment is unusable; `problems` has a line for each mistake, no secret in any."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the settings are not usable:\n" + "\n".join(f"  {line}" for line in problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """The effective settings; units are in the names, None means not set."""

    s3_bucket: str
    aws_region: str
    s3_endpoint: str | None
    s3_public_endpoint: str | None
    s3_force_path_style: bool
    s3_connect_timeout_seconds: int
    s3_read_timeout_seconds: int
    database_url: str
    auth_mode: str
    host: str
    port: int
    trusted_proxy_hops: int
    web_workers: int
    web_threads: int
    graceful_timeout_seconds: int
    log_level: str
    image_base_path: str
    multipart_part_size_bytes: int
    presigned_url_ttl_seconds: int
    image_cache_control: str
    cors_allow_origin: tuple[str, ...]
    cross_origin_resource_policy: str
    cloudfront_domain: str | None
    cloudfront_key_pair_id: str | None
    cloudfront_private_key_pem: str | None
    cloudfront_auth_mode: str
    cloudfront_cookie_domain: str | None
    cloudfront_cookie_samesite: str
    cloudfront_cookie_partitioned: bool
    cloudfront_signed_ttl_seconds: int

    def __repr__(self) -> str:
        return f"Settings({dict(self.masked())})"

    def masked(self) -> Iterator[tuple[str, str]]:
        """Yield each variable's name and effective value, secrets replaced by asterisks."""
        values = asdict(self)
        for name, field in SettingsSchema().fields.items():
            yield field.data_key or name, _shown(values[name], secret="secret" in field.metadata)

    @property
    def cache_control(self) -> str:
        """The Cache-Control that new image objects get."""
        return CACHE_CONTROL[self.image_cache_control]

    @property
    def has_cloudfront(self) -> bool:
        return self.cloudfront_domain is not None


class _Whole(fields.Integer):
    """Decimal digits and nothing else: `80x`, `8_0` and `+80` are mistakes."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII):
            raise ValidationError("must be a whole number in decimal digits")
        return super()._deserialize(value, *args, **kwargs)


class _Origins(fields.String):
    """`*`, or http(s) origins separated by commas, into a tuple."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        origins = [origin.strip() for origin in str(value).split(",")]
        if origins != ["*"] and not all(_is_origin(origin) for origin in origins):
            raise ValidationError(
                "must be * or http(s) origins like https://app.example.com, comma-separated"
            )
        return tuple(dict.fromkeys(origin.lower() for origin in origins))


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        plain = parts.netloc and not (parts.path or parts.query or parts.fragment or parts.username)
        return parts.scheme in ("http", "https") and bool(plain) and _is_clean(text, parts.port)
    except ValueError:
        return False


def _is_clean(text: str, _port: int | None) -> bool:
    return not any(character.isspace() or character in "*\\" for character in text)


def _check_endpoint(text: str) -> None:
    if not _is_origin(text.rstrip("/")):
        raise ValidationError("must be an http(s) URL without a path, like http://127.0.0.1:9000")


def _boolean(**options: Any) -> fields.Boolean:
    return fields.Boolean(
        truthy={"true", "True", "TRUE", "1", "yes", "on"},
        falsy={"false", "False", "FALSE", "0", "no", "off"},
        error_messages={"invalid": "must be true or false"},
        **options,
    )


def _choice(*allowed: str, **options: Any) -> fields.String:
    rule = validate.OneOf(allowed, error=f"must be one of {', '.join(allowed)}")
    return fields.String(validate=rule, **options)


def _number(least: int, most: int, **options: Any) -> _Whole:
    rule = validate.Range(least, most, error=f"must be {least} to {most}")
    return _Whole(validate=rule, **options)


def _matching(pattern: re.Pattern[str], rule: str, **options: Any) -> fields.String:
    def check(value: str) -> None:
        if not pattern.fullmatch(value):
            raise ValidationError(rule)

    return fields.String(validate=check, **options)


def _doc(text: str, example: str | None = None, **more: Any) -> dict[str, Any]:
    return {"doc": text, "example": example, **more}


class SettingsSchema(Schema):
    """Every variable: its rule, default and meaning."""

    s3_bucket = _matching(
        _BUCKET,
        "must be a bucket name of 3 to 63 letters, digits, dots, hyphens",
        data_key="S3_BUCKET",
        required=True,
        metadata=_doc("Bucket that holds the images", "images"),
    )
    aws_region = _matching(
        re.compile(r"[a-z0-9-]{2,40}"),
        "must be a region name like eu-central-1",
        data_key="AWS_REGION",
        required=True,
        metadata=_doc("Region of the bucket; any name such as us-east-1 for a local store", "us-east-1"),
    )
    s3_endpoint = fields.String(
        data_key="S3_ENDPOINT",
        load_default=None,
        validate=_check_endpoint,
        metadata=_doc("S3-compatible store to talk to; AWS when empty", "http://127.0.0.1:9000"),
    )
    s3_public_endpoint = fields.String(
        data_key="S3_PUBLIC_ENDPOINT",
        load_default=None,
        validate=_check_endpoint,
        metadata=_doc("Host that browsers use for presigned URLs; S3_ENDPOINT when empty"),
    )
    s3_force_path_style = _boolean(
        data_key="S3_FORCE_PATH_STYLE",
        load_default=False,
        metadata=_doc("Address the bucket in the path, as MinIO and SeaweedFS need", "true"),
    )
    s3_connect_timeout_seconds = _number(
        1,
        300,
        data_key="S3_CONNECT_TIMEOUT_SECONDS",
        load_default=5,
        metadata=_doc("How long a connection to the store may take"),
    )
    s3_read_timeout_seconds = _number(
        1,
        3600,
        data_key="S3_READ_TIMEOUT_SECONDS",
        load_default=60,
        metadata=_doc("How long the store may stay silent in mid-answer"),
    )
    database_url = fields.String(
        data_key="DATABASE_URL",
        load_default="sqlite:///.image-gateway/catalog.db",
        metadata=_doc(
            "Image records: sqlite:///file or postgresql+psycopg://user:password@host/name", url_password=True
        ),
    )
    auth_mode = _choice(
        "dev",
        "none",
        data_key="AUTH_MODE",
        load_default="dev",
        metadata=_doc("Who the caller is: dev believes X-User-Id, none makes everyone `public`"),
    )
    host = _matching(
        re.compile(r"[A-Za-z0-9.:-]{1,255}"),
        "must be an address or host name",
        data_key="HOST",
        load_default="127.0.0.1",
        metadata=_doc("Address to listen on; the container sets 0.0.0.0"),
    )
    port = _number(1, 65_535, data_key="PORT", load_default=3000, metadata=_doc("Port to listen on", "3000"))
    trusted_proxy_hops = _number(
        0,
        10,
        data_key="TRUSTED_PROXY_HOPS",
        load_default=0,
        metadata=_doc("Proxies in front whose X-Forwarded-Host, -Proto and -For are believed"),
    )
    web_workers = _number(
        1, 256, data_key="WEB_WORKERS", load_default=2, metadata=_doc("gunicorn worker processes")
    )
    web_threads = _number(
        2,
        1024,
        data_key="WEB_THREADS",
        load_default=32,
        metadata=_doc("Threads of each worker; every body being streamed holds one"),
    )
    graceful_timeout_seconds = _number(
        1,
        86_400,
        data_key="GRACEFUL_TIMEOUT_SECONDS",
        load_default=30,
        metadata=_doc("How long running answers may go on after SIGTERM"),
    )
    log_level = _choice(
        "debug",
        "info",
        "warning",
        "error",
        data_key="LOG_LEVEL",
        load_default="info",
        metadata=_doc("Least severe log lines to write"),
    )
    image_base_path = _matching(
        _BASE_PATH,
        "must be a URL path like /images: letters, digits, - _ ~ and inner dots between slashes",
        data_key="IMAGE_BASE_PATH",
        load_default="/images",
        metadata=_doc("First part of every key and CloudFront path; / for none"),
    )
    multipart_part_size_bytes = _number(
        MIN_PART_SIZE,
        MAX_PART_SIZE,
        data_key="MULTIPART_PART_SIZE_BYTES",
        load_default=64 * MIB,
        metadata=_doc("Size that clients are told to cut parts to, 5 MiB to 5 GiB"),
    )
    presigned_url_ttl_seconds = _number(
        1,
        SEVEN_DAYS,
        data_key="PRESIGNED_URL_TTL_SECONDS",
        load_default=3600,
        metadata=_doc("Lifetime of a part's upload URL"),
    )
    image_cache_control = _choice(
        *CACHE_CONTROL,
        data_key="IMAGE_CACHE_CONTROL",
        load_default="private-no-store",
        metadata=_doc("Cache-Control of new objects; public-immutable only where the edge enforces access"),
    )
    cors_allow_origin = _Origins(
        data_key="CORS_ALLOW_ORIGIN",
        load_default=("*",),
        metadata=_doc("* or the origins of the pages that may read; named ones may send credentials"),
    )
    cross_origin_resource_policy = _choice(
        "same-site",
        "same-origin",
        "cross-origin",
        data_key="CROSS_ORIGIN_RESOURCE_POLICY",
        load_default="same-site",
        metadata=_doc("Cross-Origin-Resource-Policy of image bytes"),
    )
    cloudfront_domain = _matching(
        _HOST_NAME,
        "must be a host name without scheme or path",
        data_key="CLOUDFRONT_DOMAIN",
        load_default=None,
        metadata=_doc(
            "CloudFront distribution; set all of the first three or none", "d111111abcdef8.cloudfront.net"
        ),
    )
    cloudfront_key_pair_id = _matching(
        re.compile(r"[A-Za-z0-9]{1,128}"),
        "must be the id of a CloudFront public key, like K2JCJMDEHXQW5F",
        data_key="CLOUDFRONT_KEY_PAIR_ID",
        load_default=None,
        metadata=_doc("Id of the public key in the distribution's key group"),
    )
    cloudfront_private_key_pem = fields.String(
        data_key="CLOUDFRONT_PRIVATE_KEY_PEM",
        load_default=None,
        metadata=_doc(
            r"RSA 2048 private key: PEM with real or literal \n line ends, or a file's path", secret=True
        ),
    )
    cloudfront_auth_mode = _choice(
        "cookie",
        "url",
        data_key="CLOUDFRONT_AUTH_MODE",
        load_default="cookie",
        metadata=_doc("What stream-url hands out: signed cookies or a signed URL"),
    )
    cloudfront_cookie_domain = _matching(
        re.compile(r"\.?" + _HOST_NAME.pattern, re.ASCII),
        "must be a domain like .example.com",
        data_key="CLOUDFRONT_COOKIE_DOMAIN",
        load_default=None,
        metadata=_doc("Domain attribute of the cookies, shared by API and distribution", ".example.com"),
    )
    cloudfront_cookie_samesite = _choice(
        "None",
        "Lax",
        "Strict",
        data_key="CLOUDFRONT_COOKIE_SAMESITE",
        load_default="None",
        metadata=_doc("SameSite attribute of the cookies"),
    )
    cloudfront_cookie_partitioned = _boolean(
        data_key="CLOUDFRONT_COOKIE_PARTITIONED",
        load_default=False,
        metadata=_doc("Partitioned attribute (CHIPS); needs CLOUDFRONT_COOKIE_SAMESITE=None"),
    )
    cloudfront_signed_ttl_seconds = _number(
        60,
        SEVEN_DAYS,
        data_key="CLOUDFRONT_SIGNED_TTL_SECONDS",
        load_default=43_200,
        metadata=_doc("Least lifetime of signed cookies and URLs; must outlast a session of reading"),
    )

    @validates_schema(skip_on_field_errors=False)
    def check_cloudfront(self, data: dict[str, Any], **_: Any) -> None:
        names = ("cloudfront_domain", "cloudfront_key_pair_id", "cloudfront_private_key_pem")
        missing = [name for name in names if data.get(name) is None]
        if 0 < len(missing) < len(names):
            text = "is missing: CloudFront needs its domain, key pair id and private key together"
            raise ValidationError({name.upper(): [text] for name in missing})

    @validates_schema(skip_on_field_errors=False)
    def check_partitioned(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("cloudfront_cookie_partitioned") and data.get("cloudfront_cookie_samesite") != "None":
            text = "must not be true unless CLOUDFRONT_COOKIE_SAMESITE=None"
            raise ValidationError({"CLOUDFRONT_COOKIE_PARTITIONED": [text]})

    @validates_schema(skip_on_field_errors=False)
    def check_public_endpoint(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("s3_public_endpoint") and not data.get("s3_endpoint"):
            raise ValidationError({"S3_PUBLIC_ENDPOINT": ["needs S3_ENDPOINT to be set as well"]})


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from an environment; SettingsError lists every mistake at once."""
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    schema = SettingsSchema(unknown=EXCLUDE)
    try:
        values = schema.load(given)
    except ValidationError as error:
        raise SettingsError(_explain(schema, error, given)) from None
    values["image_base_path"] = normalise_base_path(values["image_base_path"])
    for name in ("s3_endpoint", "s3_public_endpoint"):
        values[name] = values[name] and values[name].rstrip("/")
    return Settings(**values)


def _explain(schema: Schema, error: ValidationError, given: Mapping[str, str]) -> list[str]:
    messages: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    fields_by_variable = {field.data_key: field for field in schema.fields.values()}
    return [
        _explain_one(variable, texts, fields_by_variable[variable], given.get(variable))
        for variable, texts in sorted(messages.items())
    ]


def _explain_one(variable: str, texts: list[str], field: fields.Field[Any], value: str | None) -> str:
    rule = "; ".join(texts)
    if value is None:
        return f"{variable} {'is required: ' + field.metadata['doc'] if field.required else rule}"
    return f"{variable}={_shown(value, secret=field.metadata.get('secret', False))} {rule}"


def _shown(value: Any, *, secret: bool) -> str:
    if value is None:
        return ""
    if secret:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
