"""The gateway's own address as the client named it."""

from __future__ import annotations

import re

from flask import request

from image_gateway.errors import BadRequest

_HOST = re.compile(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


def check_host() -> None:
    """Refuse a request whose Host is missing or no host (RFC 9112 §3.2)."""
    host = request.environ.get("HTTP_HOST")
    if host is None and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        raise BadRequest("the Host header is missing")
    if host is not None and not _is_host(host):
        raise BadRequest("the Host header is not a host")


def own_root() -> str:
    """`scheme://host` of this request, without a slash, for URLs that lead back here.

    Werkzeug's own would decode names and refuse underscores, which container networks use.
    """
    environ = request.environ
    scheme = environ["wsgi.url_scheme"]
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    if scheme not in ("http", "https") or not _is_host(host):
        raise BadRequest("the forwarded host or protocol is not one")
    return f"{scheme}://{host}"


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and (match[3] is None or int(match[3][1:]) <= 65_535)
