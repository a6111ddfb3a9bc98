"""Who a network address counts as."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

IPV6_PREFIX = 64


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str:
    """Return what limits are counted by: an IPv4 address, or the /64 of an IPv6 address.

    One customer has a whole /64. An IPv4 address inside an IPv6 one (RFC 4291 §2.5.5.2) counts as itself;
    what is no address counts as its text.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed, IPV6_PREFIX), strict=False))
