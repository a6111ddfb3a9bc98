"""Renders nginx.conf from the gateway's settings."""

from __future__ import annotations

from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from image_gateway.edge.store_headers import STORE_HEADERS
from image_gateway.protocol.deltas.segment import MAX_SEGMENT_BYTES
from image_gateway.protocol.parts import MIB
from image_gateway.routes.http.cors import EXPOSED
from image_gateway.routes.http.request_limits import MAX_JSON_BYTES
from image_gateway.services.stream_urls import LEASE_COOKIE
from image_gateway.settings import Settings, SettingsError
from image_gateway.storage.client import DEFAULT_PORTS, StoreAddress
from image_gateway.storage.presigned_reader import read_origin

# Longer than the gateway takes to start any response; completing an upload may compute a hash first.
GATEWAY_TIMEOUT_SECONDS = 300
# Headers that the template adds to image data.
_SENT_HEADERS = [
    "Accept-Ranges",
    "Content-Type",
    "Content-Encoding",
    "Content-Range",
    "ETag",
    "Last-Modified",
    "Cache-Control",
    "Vary",
    "X-Content-Type-Options",
    "Cross-Origin-Resource-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
    "Referrer-Policy",
    "X-Request-Id",
]
_ZONE_BYTES_PER_SLICE = 128


def render_config(settings: Settings, address: StoreAddress) -> str:
    """Return a complete nginx.conf for nginx 1.22 or newer.

    Args:
        settings: The gateway's settings; EDGE_TOKEN must be set.
        address: The store of the gateway.

    Raises:
        SettingsError: EDGE_TOKEN is missing.
    """
    if settings.edge_token is None:
        raise SettingsError(
            ["EDGE_TOKEN is missing: nginx needs it to call the gateway; use openssl rand -hex 32"]
        )
    store = urlsplit(read_origin(address))
    name, port = store.hostname or "", store.port or DEFAULT_PORTS[store.scheme]
    store_address = f"{_bracket_ipv6(name)}:{port}"
    environment = Environment(
        loader=PackageLoader("image_gateway.edge", "."),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # not HTML; the settings schema excludes nginx metacharacters
        keep_trailing_newline=True,
    )
    return environment.get_template("nginx.conf.jinja").render(
        settings=settings,
        any_origin=settings.cors_allow_origin == ("*",),
        blocks_zone=_zone_size(settings),
        exposed=EXPOSED,
        gateway_timeout=GATEWAY_TIMEOUT_SECONDS,
        gateways=settings.edge_gateway or (f"{_bracket_ipv6(settings.host)}:{settings.port}",),
        hidden=STORE_HEADERS,
        lease_cookie=LEASE_COOKIE,
        listen=f"{_bracket_ipv6(settings.edge_host)}:{settings.edge_port}",
        max_body=MAX_JSON_BYTES,
        max_commit=MAX_SEGMENT_BYTES,
        min_free=min(settings.edge_cache_max_bytes // 20, 1024 * MIB),
        sent=_SENT_HEADERS,
        store_address=store_address,
        store_host=store.netloc,
        store_name=name,
        store_scheme=store.scheme,
        store_upstream=store_address if settings.edge_resolver else "store",
        # Each connection uses up to two descriptors: the socket and a cache file.
        open_files=2 * settings.edge_worker_connections + 256,
    )


def _bracket_ipv6(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _zone_size(settings: Settings) -> int:
    """Return the size of the keys zone in MiB, with 128 bytes per cached slice and a factor of two."""
    slices = settings.edge_cache_max_bytes // settings.edge_slice_bytes
    return max(8, 2 * slices * _ZONE_BYTES_PER_SLICE // MIB)
