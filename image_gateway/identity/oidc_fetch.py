"""The issuer's key set over HTTP, found by discovery where its URL is not known."""

from __future__ import annotations

import json
import time

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, parse_url

from image_gateway.identity.oidc_errors import KeysUnobtainable

CONNECT_SECONDS = 3
READ_SECONDS = 3
BODY_SECONDS = 5
MAX_BYTES = 1 << 20
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "image-gateway"}


def fetch_key_set(issuer: str, jwks_url: str | None) -> object:
    """Return the decoded JWKS at `jwks_url`, or at the issuer's own `jwks_uri`; raises KeysUnobtainable.

    No redirect is followed and no proxy of the environment used.
    """
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    with urllib3.PoolManager(retries=False, timeout=timeout) as http:
        return _get_json(http, jwks_url or _discover(http, issuer))


def _discover(http: urllib3.PoolManager, issuer: str) -> str:
    """https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation"""
    document = _get_json(http, issuer.rstrip("/") + "/.well-known/openid-configuration")
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise KeysUnobtainable(f"{_host(issuer)} describes another issuer than the one configured")
    url = document.get("jwks_uri")
    allowed = ("https://",) if issuer.lower().startswith("https:") else ("https://", "http://")
    if not isinstance(url, str) or not url.lower().startswith(allowed):
        raise KeysUnobtainable(f"{_host(issuer)} names no usable jwks_uri")
    return url


def _get_json(http: urllib3.PoolManager, url: str) -> object:
    host = _host(url)
    try:
        with http.request(
            "GET", url, headers=_HEADERS, redirect=False, preload_content=False, decode_content=False
        ) as answer:
            if answer.status != 200:
                raise KeysUnobtainable(f"{host} answered {answer.status}")
            return json.loads(_read(answer, host))
    except (HTTPError, OSError) as error:
        # The text of the error may hold the whole URL.
        raise KeysUnobtainable(f"{host}: {type(error).__name__}") from None
    except (ValueError, RecursionError):
        raise KeysUnobtainable(f"{host} answered something that is not JSON") from None


def _read(answer: urllib3.BaseHTTPResponse, host: str) -> bytes:
    body, deadline = bytearray(), time.monotonic() + BODY_SECONDS
    while block := answer.read1(65_536):
        body += block
        if len(body) > MAX_BYTES:
            raise KeysUnobtainable(f"{host} answered more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise KeysUnobtainable(f"{host} answered too slowly")
    return bytes(body)


def _host(url: str) -> str:
    try:
        return parse_url(url).host or "?"
    except ValueError:
        return "?"
