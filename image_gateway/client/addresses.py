"""Addresses of gateways: which are some, and which let others listen."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_address(value: str) -> bool:
    """Whether this is `http://host[:port][/path]`, or https, without a password."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    plain = value.isascii() and value.isprintable() and " " not in value
    return (
        plain
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not (parts.query or parts.fragment)
        and port != 0
    )


def is_overheard(address: str) -> bool:
    """Whether what is sent there goes over a network unencrypted."""
    parts = urlsplit(address)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
