"""Startup checks and messages in the master, before the first worker starts."""

from __future__ import annotations

from collections.abc import Iterable

from image_gateway.components import make_cdn, open_catalog
from image_gateway.serving.environment import exit_with
from image_gateway.serving.tracing import check_tracing
from image_gateway.settings import Settings, SettingsError, is_loopback
from image_gateway.settings.doubts import (
    lacks_proxy,
    rejected_cookie_modes,
    signs_internal_name,
    trusts_any_host,
)


def check_startup(settings: Settings) -> None:
    """Check CloudFront key, database schema and tracing; print errors and exit with status 78.

    This runs in the master, because gunicorn would restart a failing worker forever.
    """
    try:
        make_cdn(settings)
        open_catalog(settings)
        check_tracing(settings)
    except SettingsError as error:
        exit_with(error)


def refuse_open_dev(settings: Settings, hosts: Iterable[str]) -> None:
    """Exit if AUTH_MODE=dev would listen on a non-loopback address, unless that is allowed."""
    if settings.auth_mode != "dev" or settings.allow_insecure_dev_auth:
        return
    for host in hosts:
        if not is_loopback(host):
            text = (
                f"AUTH_MODE=dev trusts any client that reaches {host}: use AUTH_MODE=oidc or HOST=127.0.0.1, "
                "or set ALLOW_INSECURE_DEV_AUTH=true"
            )
            exit_with(SettingsError([text]))


def warn_of_any_host(settings: Settings, hosts: Iterable[str]) -> list[str]:
    """Return a warning if returned URLs contain the Host header of remote clients unchecked."""
    if not trusts_any_host(settings, hosts):
        return []
    text = (
        "returned URLs contain the Host header of the request, which clients control: "
        "set PUBLIC_URL to this gateway's public address, or set ALLOWED_HOSTS"
    )
    return [text]


def warn_of_no_front_door(settings: Settings, hosts: Iterable[str]) -> list[str]:
    """Return a warning if clients connect to gunicorn without a proxy."""
    if not lacks_proxy(settings, hosts):
        return []
    text = (
        "no proxy in front of gunicorn: slow clients can occupy all threads; run nginx in front "
        "and set TRUSTED_PROXY_HOPS, see docs/how-to/front-door.md"
    )
    return [text]


def describe_endpoints(settings: Settings) -> list[str]:
    """Return lines with the store and presigned URL hosts, and warnings about browser access."""
    endpoint = settings.s3_endpoint or f"AWS S3 in {settings.aws_region}"
    public = settings.s3_public_endpoint or endpoint
    lines = [f"store: {endpoint}, bucket {settings.s3_bucket}; presigned URLs use {public}"]
    if signs_internal_name(settings):
        lines.append(
            f"presigned URLs use {public}, which a browser on another machine cannot resolve: "
            "set S3_PUBLIC_ENDPOINT to an address of the store that browsers can reach"
        )
    modes = rejected_cookie_modes(settings)
    if modes:
        given, instead = (" and ".join(f"{name}={value}" for name in modes) for value in ("cookie", "url"))
        lines.append(
            f"warning: {given} does not work cross-origin with CORS_ALLOW_ORIGIN=*: "
            f"browsers reject such cookies; set CORS_ALLOW_ORIGIN to the origins of your pages, or {instead}"
        )
    return lines
