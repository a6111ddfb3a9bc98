"""Sends one HTTP request with bounds on time and size, as checks need it."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
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
READ_SECONDS = 10
ANSWER_SECONDS = 20
MAX_BYTES = 1 << 20
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,40})</Code>")
_REASONS: list[tuple[type[HTTPError], str]] = [
    (NameResolutionError, "its host name cannot be resolved"),
    (ReadTimeoutError, f"no answer within {READ_SECONDS} s"),
    (ConnectTimeoutError, f"no connection within {CONNECT_SECONDS} s"),
]


class ProbeFailed(Exception):
    """No response came; the message is the reason, without the URL."""


class TlsFailed(ProbeFailed):
    """The server's certificate is not accepted, or it speaks no TLS; the message begins with `TLS failed`."""


@dataclass(frozen=True)
class Probed:
    """A response; `body` is at most its first MiB. Names in `headers` are compared without case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def error_code(self) -> str:
        """The code in the XML of an error of S3 or CloudFront, such as MissingKey; empty if there is none."""
        match = _ERROR_CODE.search(self.body) if self.status >= 400 else None
        return match[1].decode() if match else ""

    @property
    def shown(self) -> str:
        """The status and the code, for messages."""
        return f"{self.status} {self.error_code}".strip()


Send = Callable[[str, str, Mapping[str, str]], Probed]


def probe(url: str, *, host: str | None = None, context: ssl.SSLContext | None = None) -> Probed:
    """GET a URL, as `send_request` does.

    Args:
        host: Host header to send, for a URL that has an address.
        context: What the server's certificate must be, whatever host it names.
    """
    return send_request("GET", url, {"Host": host} if host else {}, context=context)


def send_request(
    method: str, url: str, headers: Mapping[str, str], *, context: ssl.SSLContext | None = None
) -> Probed:
    """Send one request over a connection of its own, past the proxies of the environment.

    Redirects are not followed, and bodies are not decompressed.

    Raises:
        ProbeFailed: No response within the bounds.
    """
    options: dict[str, Any] = {"ssl_context": context, "assert_hostname": False} if context else {}
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    sent = {"User-Agent": "image-gateway", **headers}
    started = time.monotonic()
    try:
        with (
            _watched_pools(timeout, options) as http,
            http.request(
                method, url, headers=sent, redirect=False, preload_content=False, decode_content=False
            ) as response,
        ):
            body = _read(response)
            # A connection that was shut down looks like the end of the headers.
            if time.monotonic() - started >= ANSWER_SECONDS:
                raise ProbeFailed(f"no whole answer within {ANSWER_SECONDS} s")
            return Probed(response.status, response.headers, body)
    except SSLError as error:
        raise TlsFailed(f"TLS failed: {_tls_reason(error)}") from None
    except (HTTPError, OSError, ValueError) as error:
        # The message would contain the URL with its signature.
        raise ProbeFailed(_reason(error)) from None


def _watched_pools(timeout: Timeout, options: dict[str, Any]) -> urllib3.PoolManager:
    http = urllib3.PoolManager(retries=False, timeout=timeout, **options)
    http.pool_classes_by_scheme = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}
    return http


class _WatchedHTTPConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)


class _WatchedHTTPSConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)


class _WatchedHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


def _watch(connection: socket.socket) -> None:
    """Shut the connection down after ANSWER_SECONDS: the timeout of reads starts again with every byte."""
    timer = threading.Timer(ANSWER_SECONDS, _shut_down, (connection,))
    timer.daemon = True
    timer.start()


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # It is closed.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    body, deadline = bytearray(), time.monotonic() + READ_SECONDS
    while len(body) < MAX_BYTES and time.monotonic() < deadline and (block := response.read1(65_536)):
        body += block
    return bytes(body)


def _reason(error: Exception) -> str:
    # NewConnectionError is a ConnectTimeoutError, too; its cause tells more.
    cause = error.__cause__
    refused = isinstance(error, NewConnectionError) and not isinstance(error, NameResolutionError)
    if refused and isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    for kind, text in _REASONS:
        if isinstance(error, kind):
            return text
    return type(error).__name__


def _tls_reason(error: SSLError) -> str:
    """Return what OpenSSL says, such as `certificate has expired`."""
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__)
