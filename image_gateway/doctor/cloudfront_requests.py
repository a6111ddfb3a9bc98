"""Sends single requests to a distribution, within bounds of time and size."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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

CONNECT_SECONDS = 5
READ_SECONDS = 10
MAX_BODY_BYTES = 256 << 10
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,40})</Code>")
_REASONS: tuple[tuple[type[HTTPError], str], ...] = (
    (NameResolutionError, "its name cannot be resolved"),
    # A subclass of ConnectTimeoutError.
    (NewConnectionError, "the connection is refused"),
    (ConnectTimeoutError, f"no connection within {CONNECT_SECONDS} s"),
    (ReadTimeoutError, f"no answer within {READ_SECONDS} s"),
)


class Unreachable(Exception):
    """There was no response; the message is the reason and contains no URL."""


@dataclass(frozen=True)
class Answer:
    """A response; `body` is at most its first 256 KiB. Names in `headers` are compared without case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def error_code(self) -> str:
        """The code in the XML of an error, such as MissingKey; empty if there is none."""
        match = _ERROR_CODE.search(self.body) if self.status >= 400 else None
        return match[1].decode() if match else ""

    @property
    def shown(self) -> str:
        """The status and the code, for messages."""
        return f"{self.status} {self.error_code}".strip()


Send = Callable[[str, str, Mapping[str, str]], Answer]


def send_request(method: str, url: str, headers: Mapping[str, str]) -> Answer:
    """Send one request over a connection of its own; redirects are not followed.

    Raises:
        Unreachable: There is no response.
    """
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    sent = {"User-Agent": "image-gateway", **headers}
    try:
        with (
            urllib3.PoolManager(retries=False, timeout=timeout) as http,
            http.request(
                method, url, headers=sent, redirect=False, preload_content=False, decode_content=False
            ) as response,
        ):
            return Answer(response.status, response.headers, _read_start(response))
    except (HTTPError, OSError) as error:
        # The message would contain the URL with its signature.
        raise Unreachable(_reason(error)) from None


def _read_start(response: urllib3.BaseHTTPResponse) -> bytes:
    body, deadline = bytearray(), time.monotonic() + READ_SECONDS
    while len(body) < MAX_BODY_BYTES and time.monotonic() < deadline:
        block = response.read(min(65_536, MAX_BODY_BYTES - len(body)))
        if not block:
            break
        body += block
    return bytes(body)


def _reason(error: Exception) -> str:
    if isinstance(error, SSLError):
        cause = error.args[0] if error.args else error
        # What OpenSSL says, such as "Hostname mismatch, certificate is not valid for …".
        said = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__
        return f"TLS failed: {said}"
    return next((text for kind, text in _REASONS if isinstance(error, kind)), type(error).__name__)
