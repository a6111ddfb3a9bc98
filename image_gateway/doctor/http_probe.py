"""Sends one HTTP request with bounds on time and size, as checks need it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout

CONNECT_SECONDS = 3
READ_SECONDS = 5
MAX_BYTES = 1 << 20
_REASONS: list[tuple[type[HTTPError], str]] = [
    (NameResolutionError, "its host name cannot be resolved"),
    (ReadTimeoutError, f"no answer within {READ_SECONDS} s"),
    (ConnectTimeoutError, f"no connection within {CONNECT_SECONDS} s"),
]


class ProbeFailed(Exception):
    """No response came; the message is the reason, without the URL."""


class TlsFailed(ProbeFailed):
    """The server's certificate is not accepted, or it speaks no TLS."""


@dataclass(frozen=True)
class Probed:
    """A response; redirects are not followed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def probe(url: str, *, host: str | None = None, context: ssl.SSLContext | None = None) -> Probed:
    """GET a URL, past the proxies of the environment.

    Args:
        host: Host header to send, for a URL that has an address.
        context: What the server's certificate must be, whatever host it names.

    Raises:
        ProbeFailed: No response within the bounds.
    """
    sent = {"User-Agent": "image-gateway", **({"Host": host} if host else {})}
    options: dict[str, Any] = {"ssl_context": context, "assert_hostname": False} if context else {}
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    try:
        with (
            urllib3.PoolManager(retries=False, timeout=timeout, **options) as http,
            http.request("GET", url, headers=sent, redirect=False, preload_content=False) as response,
        ):
            return Probed(response.status, response.headers, _read(response))
    except SSLError as error:
        raise TlsFailed(_tls_reason(error)) from None
    except (HTTPError, OSError, ValueError) as error:
        raise ProbeFailed(_reason(error)) from None


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    body, deadline = bytearray(), time.monotonic() + READ_SECONDS
    while len(body) < MAX_BYTES and time.monotonic() < deadline and (block := response.read1(65_536)):
        body += block
    return bytes(body)


def _reason(error: Exception) -> str:
    # NewConnectionError is a ConnectTimeoutError, too, and most often has a cause that tells more.
    cause = error.__cause__
    if isinstance(error, NewConnectionError) and isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    for kind, text in _REASONS:
        if isinstance(error, kind):
            return text
    return type(error).__name__


def _tls_reason(error: SSLError) -> str:
    """Return what OpenSSL says, such as `certificate has expired`."""
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__)
