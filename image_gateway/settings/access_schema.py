"""Settings for authentication, leases, audit entries and rate limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from image_gateway.settings.fields import (
    LeaseKeys,
    RateLimit,
    Words,
    boolean,
    check_storage_url,
    check_url,
    choice,
    doc,
    matching,
    number,
)

DAY = 86_400
_CLAIM = re.compile(r"[A-Za-z0-9_.:/-]{1,128}", re.ASCII)
_ADMIN_CLAIM = re.compile(_CLAIM.pattern + r"(=[!-~]{1,128})?", re.ASCII)


class AccessSchema(Schema):
    """Authentication, leases, audit entries and rate limits."""

    auth_mode = choice(
        "dev",
        "oidc",
        "none",
        data_key="AUTH_MODE",
        load_default="dev",
        metadata=doc(
            "Authentication: dev trusts X-User-Id, oidc verifies bearer JWTs, none makes everyone `public`"
        ),
    )
    allow_insecure_dev_auth = boolean(
        data_key="ALLOW_INSECURE_DEV_AUTH",
        load_default=False,
        metadata=doc("Allow AUTH_MODE=dev on non-loopback addresses, where any client can claim any user id"),
    )
    oidc_issuer = fields.String(
        data_key="OIDC_ISSUER",
        load_default=None,
        validate=check_url,
        metadata=doc("Token issuer; must equal the `iss` claim", "https://id.example.com/"),
    )
    oidc_audience = Words(
        data_key="OIDC_AUDIENCE",
        load_default=(),
        metadata=doc("Accepted audiences (`aud`), comma-separated", "image-gateway"),
    )
    oidc_jwks_url = fields.String(
        data_key="OIDC_JWKS_URL",
        load_default=None,
        validate=check_url,
        metadata=doc("URL of the issuer's JWKS; found through OpenID discovery when empty"),
    )
    oidc_user_claim = matching(
        _CLAIM,
        "must be a claim name",
        data_key="OIDC_USER_CLAIM",
        load_default="sub",
        metadata=doc("Claim that holds the user id; its value must never change for a user"),
    )
    oidc_admin_claim = matching(
        _ADMIN_CLAIM,
        "must be a claim name, or name=value",
        data_key="OIDC_ADMIN_CLAIM",
        load_default=None,
        metadata=doc(
            "Claim that marks an admin: name (must be true) or name=value; dots select nested claims",
            "realm_access.roles=admin",
        ),
    )
    oidc_leeway_seconds = number(
        0,
        300,
        data_key="OIDC_LEEWAY_SECONDS",
        load_default=30,
        metadata=doc("Allowed clock difference to the identity provider"),
    )
    hide_foreign_images = boolean(
        data_key="HIDE_FOREIGN_IMAGES",
        load_default=False,
        metadata=doc("Return 404 instead of 403 for images that the user may not access"),
    )
    gateway_auth_mode = choice(
        "url",
        "cookie",
        data_key="GATEWAY_AUTH_MODE",
        load_default="url",
        metadata=doc("How stream-url passes the lease without CloudFront: in the URL or in a cookie"),
    )
    lease_keys = LeaseKeys(
        data_key="LEASE_KEYS",
        load_default=(),
        metadata=doc(
            "Lease keys as id:secret, comma-separated; first signs, all verify; random per start when empty",
            secret=True,
        ),
    )
    lease_ttl_seconds = number(
        5, DAY, data_key="LEASE_TTL_SECONDS", load_default=600, metadata=doc("Default lease lifetime")
    )
    lease_max_ttl_seconds = number(
        5,
        DAY,
        data_key="LEASE_MAX_TTL_SECONDS",
        load_default=3600,
        metadata=doc("Maximum lease lifetime; longer requests are reduced to it"),
    )
    lease_session_seconds = number(
        60,
        30 * DAY,
        data_key="LEASE_SESSION_SECONDS",
        load_default=43_200,
        metadata=doc("How long a lease can be renewed; also the lifetime of stream-url leases"),
    )
    lease_grace_seconds = number(
        0,
        3600,
        data_key="LEASE_GRACE_SECONDS",
        load_default=300,
        metadata=doc(
            "How long after expiry a lease can be renewed, and how long opted-in readers wait for that"
        ),
    )
    lease_admin_seconds = number(
        60,
        30 * DAY,
        data_key="LEASE_ADMIN_SECONDS",
        load_default=3600,
        metadata=doc("Maximum session of a lease that an admin creates for another user's image"),
    )
    lease_cookie_samesite = choice(
        "None",
        "Lax",
        "Strict",
        data_key="LEASE_COOKIE_SAMESITE",
        load_default="None",
        metadata=doc("SameSite attribute of lease cookies"),
    )
    lease_cookie_partitioned = boolean(
        data_key="LEASE_COOKIE_PARTITIONED",
        load_default=False,
        metadata=doc("Partitioned attribute (CHIPS) of lease cookies; requires LEASE_COOKIE_SAMESITE=None"),
    )
    audit_days = number(
        1,
        3650,
        data_key="AUDIT_DAYS",
        load_default=90,
        metadata=doc("Days after which the sweeper removes the audit entries of images"),
    )
    rate_limits = boolean(
        data_key="RATE_LIMITS", load_default=True, metadata=doc("Enable the rate limits below")
    )
    rate_limit_storage_url = fields.String(
        data_key="RATE_LIMIT_STORAGE_URL",
        load_default="memory://",
        validate=check_storage_url,
        metadata=doc(
            "Counter storage: memory:// counts per worker, redis://host:6379 across all workers",
            database=True,
        ),
    )
    rate_limit_create = RateLimit(
        data_key="RATE_LIMIT_CREATE",
        load_default="120/minute",
        metadata=doc("New images, per user"),
    )
    rate_limit_part_urls = RateLimit(
        data_key="RATE_LIMIT_PART_URLS",
        load_default="30000/minute",
        metadata=doc("Presigned part URLs, per user; an image has at most 10,000 parts"),
    )
    rate_limit_complete = RateLimit(
        data_key="RATE_LIMIT_COMPLETE",
        load_default="240/minute",
        metadata=doc("Completed uploads, per user"),
    )
    rate_limit_leases = RateLimit(
        data_key="RATE_LIMIT_LEASES",
        load_default="120/minute",
        metadata=doc("Leases created or renewed, per user"),
    )
    rate_limit_redeem = RateLimit(
        data_key="RATE_LIMIT_REDEEM",
        load_default="30/minute",
        metadata=doc("Redeemed share links, per client address"),
    )
    rate_limit_failed_auth = RateLimit(
        data_key="RATE_LIMIT_FAILED_AUTH",
        load_default="60/minute",
        metadata=doc("Failed authentications, per client address; further ones get 429"),
    )
    rate_limit_per_address = RateLimit(
        data_key="RATE_LIMIT_PER_ADDRESS",
        load_default="1200/minute",
        metadata=doc("New images, leases and redeemed share links together, per client address"),
    )

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_oidc(self, _: dict[str, Any], given: Mapping[str, str], **__: Any) -> None:
        if given.get("AUTH_MODE") != "oidc":
            return
        missing = [name for name in ("OIDC_ISSUER", "OIDC_AUDIENCE", "LEASE_KEYS") if name not in given]
        if missing:
            raise ValidationError({name: ["is missing: AUTH_MODE=oidc needs it"] for name in missing})

    @validates_schema
    def check_lease_lifetimes(self, data: dict[str, Any], **_: Any) -> None:
        most = data["lease_max_ttl_seconds"]
        if data["lease_ttl_seconds"] > most:
            raise ValidationError({"LEASE_TTL_SECONDS": [f"must be at most LEASE_MAX_TTL_SECONDS ({most})"]})
        if most > data["lease_session_seconds"]:
            text = f"must be at most LEASE_SESSION_SECONDS ({data['lease_session_seconds']})"
            raise ValidationError({"LEASE_MAX_TTL_SECONDS": [text]})

    @validates_schema
    def check_partitioned_lease(self, data: dict[str, Any], **_: Any) -> None:
        if data["lease_cookie_partitioned"] and data["lease_cookie_samesite"] != "None":
            text = "must not be true unless LEASE_COOKIE_SAMESITE=None"
            raise ValidationError({"LEASE_COOKIE_PARTITIONED": [text]})
