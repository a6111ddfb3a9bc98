"""Loads the environment into a frozen `Settings` and reports all errors together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from image_gateway.protocol.layout import normalise_base_path
from image_gateway.settings.schema import CACHE_CONTROL, SettingsSchema

MASK = "********"
MAX_SHOWN_LENGTH = 200
_DATABASE = re.compile(
    r"([a-z0-9+]+://)(.*@)?([A-Za-z0-9._-]+(?::[0-9]{1,5})?/[A-Za-z0-9._-]*)(\?.*)?", re.ASCII | re.DOTALL
)
_USER_INFO = re.compile(r"(:/+)[^/].*@", re.DOTALL)
_QUERY_PASSWORD = re.compile(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


class SettingsError(Exception):
    """The settings are invalid; `problems` has one line per error and contains no secrets."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("invalid settings:\n" + "\n".join(f"  {line}" for line in problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """The effective settings; names end in the unit, None means not set."""

    s3_bucket: str
    aws_region: str
    s3_endpoint: str | None
    s3_public_endpoint: str | None
    s3_force_path_style: bool
    s3_connect_timeout_seconds: int
    s3_read_timeout_seconds: int
    database_url: str
    catalog_timeout_seconds: int
    host: str
    port: int
    trusted_proxy_hops: int
    web_workers: int
    web_threads: int
    graceful_timeout_seconds: int
    log_level: str
    log_format: str
    image_base_path: str
    multipart_part_size_bytes: int
    s3_max_object_bytes: int
    upload_ttl_seconds: int
    upload_max_seconds: int
    sha256_check_max_bytes: int
    quota_images: int | None
    quota_bytes: int | None
    quota_bytes_per_image: int | None
    quota_open_uploads: int
    quota_shares_per_image: int
    quota_links_per_image: int
    presigned_url_ttl_seconds: int
    image_cache_control: str
    publish_latest: bool
    cloudfront_domain: str | None
    cloudfront_key_pair_id: str | None
    cloudfront_private_key_pem: str | None
    cloudfront_auth_mode: str
    cloudfront_cookie_domain: str | None
    cloudfront_cookie_samesite: str
    cloudfront_cookie_partitioned: bool
    cloudfront_signed_ttl_seconds: int
    public_url: str | None
    allowed_hosts: tuple[str, ...]
    cors_allow_origin: tuple[str, ...]
    cross_origin_resource_policy: str
    auth_mode: str
    allow_insecure_dev_auth: bool
    oidc_issuer: str | None
    oidc_audience: tuple[str, ...]
    oidc_jwks_url: str | None
    oidc_user_claim: str
    oidc_admin_claim: str | None
    oidc_leeway_seconds: int
    oidc_client_id: str | None
    oidc_client_secret: str | None
    oidc_scopes: str
    session_idle_seconds: int
    session_max_seconds: int
    console: bool
    emulator_v86_path: str | None
    hide_foreign_images: bool
    gateway_auth_mode: str
    lease_keys: tuple[tuple[str, str], ...]
    lease_ttl_seconds: int
    lease_max_ttl_seconds: int
    lease_session_seconds: int
    lease_grace_seconds: int
    lease_admin_seconds: int
    lease_cookie_samesite: str
    lease_cookie_partitioned: bool
    audit_days: int
    rate_limits: bool
    rate_limit_storage_url: str
    rate_limit_create: str
    rate_limit_part_urls: str
    rate_limit_complete: str
    rate_limit_leases: str
    rate_limit_redeem: str
    rate_limit_sign_in: str
    rate_limit_failed_auth: str
    rate_limit_per_address: str
    send_timeout_seconds: int
    max_streams: int | None
    max_streams_per_user: int | None
    stream_queue_seconds: int
    access_cache_seconds: int
    range_cache_dir: str | None
    range_cache_max_bytes: int
    range_cache_block_bytes: int
    read_ahead_bytes: int
    worker_concurrency: int
    worker_claim_seconds: int
    keep_source_objects: bool
    import_allow_http: bool
    import_allow_private: bool
    import_allowed_hosts: tuple[str, ...]
    import_connect_seconds: int
    import_stall_seconds: int
    metrics_port: int | None
    metrics_host: str
    metrics_token: str | None
    server_timing: bool
    tracing: bool
    edge_token: str | None
    edge_host: str
    edge_port: int
    edge_internal_port: int
    edge_tls_certificate: str | None
    edge_tls_certificate_key: str | None
    edge_user: str | None
    edge_workers: int | None
    edge_worker_connections: int
    edge_gateway: tuple[str, ...]
    edge_resolver: str | None
    edge_ca_file: str
    edge_real_ip_from: tuple[str, ...]
    edge_cache_dir: str
    edge_cache_max_bytes: int
    edge_slice_bytes: int
    edge_run_dir: str
    edge_log_dir: str
    edge_connections_per_address: int
    edge_requests_per_second: int
    edge_report_address: str | None

    def __repr__(self) -> str:
        return f"Settings({dict(self.masked())})"

    def masked(self) -> Iterator[tuple[str, str]]:
        """Yield the name and effective value of each variable, with secrets masked."""
        values = asdict(self)
        for name, field in SettingsSchema().fields.items():
            yield field.data_key or name, _display_field(field, values[name])

    @property
    def cache_control(self) -> str:
        """Return the Cache-Control value for new image objects."""
        return CACHE_CONTROL[self.image_cache_control]

    @property
    def has_cloudfront(self) -> bool:
        return self.cloudfront_domain is not None


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Load the settings from environment variables.

    Raises:
        SettingsError: Lists every invalid or missing variable.
    """
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
        _explain_variable(variable, texts, fields_by_variable[variable], given.get(variable))
        for variable, texts in sorted(messages.items())
    ]


def _explain_variable(variable: str, texts: list[str], field: fields.Field[Any], value: str | None) -> str:
    rule = "; ".join(texts)
    if value is None:
        return f"{variable} {'is required: ' + field.metadata['doc'] if field.required else rule}"
    return f"{variable}={_display_field(field, value)} {rule}"


def _display_field(field: fields.Field[Any], value: Any) -> str:
    if value == field.load_default:
        return _display_value(value, secret=False)
    return _display_value(value, secret="secret" in field.metadata, database="database" in field.metadata)


def _display_value(value: Any, *, secret: bool, database: bool = False) -> str:
    if value is None:
        return ""
    if database and not str(value).startswith("sqlite:///"):
        return _display_database_url(str(value))
    if secret:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    return _mask_passwords(",".join(value) if isinstance(value, tuple) else str(value))


def _display_database_url(url: str) -> str:
    """Return the URL with all but scheme, host and database name masked: passwords get misplaced."""
    match = _DATABASE.fullmatch(url)
    if match is None:
        return MASK
    scheme, user, host_and_name, query = match.groups()
    return f"{scheme}{f'{MASK}@' if user else ''}{host_and_name}{f'?{MASK}' if query else ''}"


def _mask_passwords(text: str) -> str:
    """Return one line of at most 200 characters; masks URL passwords, secret parameters and PEM keys."""
    if "-----BEGIN" in text:
        return MASK
    hidden = _QUERY_PASSWORD.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1{MASK}@", text))
    line = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in hidden
    )
    return line if len(line) <= MAX_SHOWN_LENGTH else f"{line[:MAX_SHOWN_LENGTH]}…"
