"""The gateway's public URL: PUBLIC_URL, or the Host header."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Flask, current_app, request
from werkzeug.middleware.proxy_fix import ProxyFix

from image_gateway.errors import BadRequest

# Load balancers send the address as Host.
PROBES = frozenset({"/health", "/healthz", "/readyz"})
_HOST = re.compile(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_OWN_PORT = {"http": ":80", "https": ":443"}
_EXTENSION = "image_gateway.origin"


@dataclass(frozen=True)
class OriginRules:
    """PUBLIC_URL, if set, and the accepted hosts; none means any."""

    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()


_NO_RULES = OriginRules()


def install_origin(app: Flask, rules: OriginRules) -> None:
    """Use these rules for all requests of the app."""
    app.extensions[_EXTENSION] = rules


def trust_proxies(app: Flask, hops: int) -> None:
    """Take address, scheme and host from the X-Forwarded headers of so many proxies."""
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # Flask's documented way to wrap
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=0
        )


def check_host() -> None:
    """Refuse a request whose Host is missing, no host (RFC 9112 §3.2) or none of those that are allowed."""
    host = request.environ.get("HTTP_HOST")
    if host is None and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        raise BadRequest("the Host header is missing")
    if host is not None and not _is_host(host):
        raise BadRequest("the Host header is invalid")
    allowed = _rules().allowed_hosts
    if allowed and request.path not in PROBES and not _names(host or "") & {*allowed}:
        raise BadRequest("this gateway does not answer for this host: add it to ALLOWED_HOSTS")


def own_root() -> str:
    """Return the gateway's `scheme://host[:port]`, without a slash.

    Without PUBLIC_URL it is the request's. Werkzeug's own would decode names and refuse underscores, which
    container networks use.
    """
    public_url = _rules().public_url
    if public_url is not None:
        return public_url
    environ = request.environ
    scheme = environ["wsgi.url_scheme"]
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    if scheme not in _OWN_PORT or not _is_host(host):
        raise BadRequest("X-Forwarded-Host or X-Forwarded-Proto is invalid")
    return f"{scheme}://{host}"


def _rules() -> OriginRules:
    rules: OriginRules = current_app.extensions.get(_EXTENSION, _NO_RULES)
    return rules


def _names(host: str) -> set[str]:
    """Return the host as it was sent, and without its scheme's default port."""
    lower = host.lower()
    own_port = _OWN_PORT.get(request.environ["wsgi.url_scheme"], "")
    return {lower, lower.removesuffix(own_port)}


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and (match[3] is None or int(match[3][1:]) <= 65_535)
