"""Valid settings that do not work together, or not for clients of other machines."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from image_gateway.settings.fields import is_loopback
from image_gateway.settings.model import Settings


def signs_internal_name(settings: Settings) -> bool:
    """Return whether presigned URLs have a single-label host name, as in container networks."""
    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    host = urlsplit(endpoint).hostname or "" if endpoint else "localhost"
    return "." not in host and ":" not in host and host != "localhost"


def rejected_cookie_modes(settings: Settings) -> list[str]:
    """Return the settings that select cookies which browsers reject cross-origin, for CORS_ALLOW_ORIGIN=*."""
    if settings.cors_allow_origin != ("*",):
        return []
    names = []
    if settings.has_cloudfront and settings.cloudfront_auth_mode == "cookie":
        names.append("CLOUDFRONT_AUTH_MODE")
    if settings.gateway_auth_mode == "cookie":
        names.append("GATEWAY_AUTH_MODE")
    return names


def trusts_any_host(settings: Settings, hosts: Iterable[str]) -> bool:
    """Return whether returned URLs contain the Host header of remote clients unchecked."""
    is_limited = settings.public_url is not None or bool(settings.allowed_hosts)
    return not is_limited and not all(is_loopback(host) for host in hosts)


def lacks_proxy(settings: Settings, hosts: Iterable[str]) -> bool:
    """Return whether remote clients connect to gunicorn itself."""
    return not settings.trusted_proxy_hops and not all(is_loopback(host) for host in hosts)
