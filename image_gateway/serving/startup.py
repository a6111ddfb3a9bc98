"""What is checked and said once, before the first worker starts."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from image_gateway.app import make_cdn, open_catalog
from image_gateway.serving.environment import exit_with
from image_gateway.serving.tracing import check_tracing
from image_gateway.settings import Settings, SettingsError, is_loopback


def check_startup(settings: Settings) -> None:
    """Try the CloudFront key and the tables in the master, where a mistake ends the server.

    In a worker it would be started again for ever.
    """
    try:
        make_cdn(settings)
        open_catalog(settings)
        check_tracing(settings)
    except SettingsError as error:
        exit_with(error)


def refuse_open_dev(settings: Settings, hosts: Iterable[str]) -> None:
    """Leave when AUTH_MODE=dev would listen where others can reach it, unless that is allowed."""
    if settings.auth_mode != "dev" or settings.allow_insecure_dev_auth:
        return
    for host in hosts:
        if not is_loopback(host):
            text = (
                f"AUTH_MODE=dev believes anyone who reaches {host}: use AUTH_MODE=oidc, listen on 127.0.0.1, "
                "or set ALLOW_INSECURE_DEV_AUTH=true"
            )
            exit_with(SettingsError([text]))


def warn_of_any_host(settings: Settings, hosts: Iterable[str]) -> list[str]:
    """A line when others reach the gateway and the URLs that it hands out name whatever Host they send."""
    if settings.public_url is not None or settings.allowed_hosts or all(is_loopback(host) for host in hosts):
        return []
    text = (
        "URLs of leases and images name the Host of each request, which clients choose: "
        "set PUBLIC_URL to this gateway's own address, or ALLOWED_HOSTS"
    )
    return [text]


def warn_of_no_front_door(settings: Settings, hosts: Iterable[str]) -> list[str]:
    """Return a line when clients reach gunicorn itself, with no proxy in between."""
    if settings.trusted_proxy_hops or all(is_loopback(host) for host in hosts):
        return []
    text = (
        "gunicorn is reached without a proxy: slow clients can hold its threads; put the nginx front door "
        "before it and set TRUSTED_PROXY_HOPS, see docs/how-to/front-door.md"
    )
    return [text]


def describe_endpoints(settings: Settings) -> list[str]:
    """Lines that say which hosts the gateway and its URLs name, and what cannot work in a browser."""
    endpoint = settings.s3_endpoint or f"AWS S3 in {settings.aws_region}"
    public = settings.s3_public_endpoint or endpoint
    lines = [f"store: {endpoint}, bucket {settings.s3_bucket}; presigned URLs are signed for {public}"]
    if settings.s3_endpoint and _is_inner_name(public):
        lines.append(
            f"presigned URLs name {public}, which a browser on another machine cannot reach: "
            "set S3_PUBLIC_ENDPOINT to the store's address as browsers see it"
        )
    modes = _cookie_modes(settings)
    if modes and settings.cors_allow_origin == ("*",):
        given, instead = (" and ".join(f"{name}={value}" for name in modes) for value in ("cookie", "url"))
        lines.append(
            f"warning: {given} cannot work from pages of another origin with CORS_ALLOW_ORIGIN=*: "
            f"browsers refuse cookies then; set CORS_ALLOW_ORIGIN to the origins of your pages, or {instead}"
        )
    return lines


def _cookie_modes(settings: Settings) -> list[str]:
    """Return the names of the settings that make the gateway hand out cookies."""
    names = []
    if settings.has_cloudfront and settings.cloudfront_auth_mode == "cookie":
        names.append("CLOUDFRONT_AUTH_MODE")
    if settings.gateway_auth_mode == "cookie":
        names.append("GATEWAY_AUTH_MODE")
    return names


def _is_inner_name(url: str) -> bool:
    """Whether the host is a bare name, as container networks use, that no browser resolves."""
    host = urlsplit(url).hostname or ""
    return "." not in host and ":" not in host and host != "localhost"
