"""Client addresses: the networks that limits count by, and this machine's own."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

IPV6_PREFIX = 64


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str:
    """Return the key that limits count by: an IPv4 address, or the /64 network of an IPv6 address.

    A single customer usually has a whole /64. An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) counts as the
    IPv4 address; text that is not an address is returned unchanged.
    """
    parsed = _parse(address)
    if parsed is None:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed.packed, IPV6_PREFIX), strict=False))


def is_loopback_address(address: str | None) -> bool:
    """Return whether a client's address is this machine's own."""
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def _parse(address: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, an IPv4-mapped IPv6 one as its IPv4 address; None for other text."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
