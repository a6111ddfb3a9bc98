"""Sends the requests of a check: one connection each, without retries, counted against a budget of bytes."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from image_gateway.client.verify_requests import MAX_REDIRECTS, follow, origin_of
from image_gateway.fetching.watchdog import Watchdog
from image_gateway.observability.connection_errors import describe_connection_error
from image_gateway.protocol.verification import Unreadable
from image_gateway.url_check.answers import Answer, Hop, Limits, ProbeFailed, budget_exhausted

REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK = 64 * 1024
# Bounds what a server can send that nobody reads.
_RECEIVE_BUFFER = 128 * 1024
_POLL_SECONDS = 0.5


class CountedResponse:
    """An open answer, whose reads are counted; it has what readers of urllib3's responses use."""

    def __init__(self, prober: Prober, response: BaseHTTPResponse, watchdog: Watchdog) -> None:
        self.status = response.status
        # http.client leaves white space after a value, which is no part of it (RFC 9110 section 5.5).
        self.headers = HTTPHeaderDict(
            (name, text.strip(" \t")) for name, text in response.headers.iteritems()
        )
        self._prober = prober
        self._response = response
        self._watchdog = watchdog

    def read(self, amount: int, decode_content: bool = False) -> bytes:
        """Return up to `amount` bytes as they come, b"" at the end.

        Raises:
            ProbeFailed: The budget is used up, or the server is too slow.
            HTTPError: The body broke off.
        """
        left = self._prober.bytes_left
        if left <= 0:
            raise budget_exhausted()
        try:
            block = self._response.read1(min(amount, left, _BLOCK), decode_content=decode_content)
        except (HTTPError, HTTPException, OSError):
            self._prober.check_time(self._watchdog)
            raise
        self._prober.check_time(self._watchdog)
        self._prober.bytes_read += len(block)
        return block


class Prober:
    """Sends requests; every wait is bounded. No error message holds a URL or the value of a header.

    Args:
        url: Its origin may have the credentials, no other.
        credentials: Headers that authenticate the reads.

    Attributes:
        followed: Where redirects led; such URLs may hold secrets.
    """

    def __init__(self, url: str, credentials: Mapping[str, str], limits: Limits) -> None:
        self.credentials = dict(credentials)
        self.limits = limits
        self.bytes_read = 0
        self.requests = 0
        self.followed: set[str] = set()
        self._origin = origin_of(url)
        self._deadline = time.monotonic() + limits.total

    @property
    def bytes_left(self) -> int:
        return self.limits.max_bytes - self.bytes_read

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        read: int = 0,
        with_credentials: bool = True,
        follows: bool = True,
    ) -> Answer:
        """Send a request and read at most `read` bytes of its answer.

        Args:
            follows: Follow redirects, up to five.

        Raises:
            ProbeFailed: There is no answer, or reading `read` bytes could exceed the budget.
        """
        if read > self.bytes_left:
            raise budget_exhausted()
        with self.open(method, url, headers, with_credentials=with_credentials, follows=follows) as (
            response,
            hops,
            _,
        ):
            body, is_cut, is_whole = _read_up_to(response, read)
            return Answer(response.status, response.headers, body, is_cut, is_whole, tuple(hops))

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        with_credentials: bool = True,
        follows: bool = True,
    ) -> Iterator[tuple[CountedResponse, list[Hop], str]]:
        """Send a request; yields the answer, the redirects before it, and the URL that it came from."""
        hops: list[Hop] = []
        page = headers.get("Origin")
        while True:
            sent = dict(headers)
            if with_credentials and origin_of(url) == self._origin:
                sent = {**self.credentials, **sent}
            if page is not None and any(hop.hides_page for hop in hops):
                sent["Origin"] = "null"
            with self._exchange(method, url, sent) as response:
                if not follows or response.status not in REDIRECTS:
                    yield response, hops, url
                    return
                target = _redirect_target(url, response.headers.get("Location", ""))
                self.followed.add(target)
                leaves = origin_of(target) != origin_of(url)
                is_foreign = page is not None and origin_of(page) != origin_of(url)
                hops.append(Hop(response.status, response.headers, leaves, is_foreign))
            if len(hops) > MAX_REDIRECTS:
                raise ProbeFailed("redirect-loop", f"there are more than {MAX_REDIRECTS} redirects")
            url = target

    @contextmanager
    def _exchange(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[CountedResponse]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ProbeFailed("timeout", f"the check took more than {self.limits.total:.0f} s in all")
        self.requests += 1
        connection = self.connect(url)
        watchdog: Watchdog | None = None
        try:
            connection.connect()
            watchdog = Watchdog(connection.sock, _POLL_SECONDS)
            connection.sock.settimeout(self.limits.stall)
            with watchdog.limit(min(left, self.limits.request)):
                connection.request(
                    method, _request_target(url), headers=headers, preload_content=False, decode_content=False
                )
                response = connection.getresponse()
                self.check_time(watchdog)
                yield CountedResponse(self, response, watchdog)
        except (HTTPError, HTTPException, OSError) as error:
            if watchdog is not None:
                self.check_time(watchdog)
            raise _failure(method, error) from None
        finally:
            if watchdog is not None:
                watchdog.stop()
            connection.close()

    def check_time(self, watchdog: Watchdog) -> None:
        """Raise ProbeFailed if the watchdog ended the connection, which looks like an end of the answer."""
        if watchdog.expired:
            text = f"a request and its answer took more than {self.limits.request:g} s"
            raise ProbeFailed("timeout", text) from None

    def connect(self, url: str) -> HTTPConnection:
        """Return a connection that is not open yet."""
        parts = urlsplit(url)
        make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        options = [
            *HTTPConnection.default_socket_options,
            (socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER),
        ]
        return make(parts.hostname or "", parts.port, timeout=self.limits.connect, socket_options=options)


def _request_target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _redirect_target(url: str, location: str) -> str:
    try:
        return follow(url, location)
    except Unreadable as error:
        is_downgrade = urlsplit(url).scheme == "https" and location.startswith("http:")
        raise ProbeFailed("redirect-to-http" if is_downgrade else "redirect-loop", str(error)) from None


def _read_up_to(response: CountedResponse, limit: int) -> tuple[bytes, bool, bool]:
    """Return up to `limit` bytes, whether the body broke off, and whether its end was reached."""
    blocks: list[bytes] = []
    left = limit
    try:
        while left:
            block = response.read(left)
            if not block:
                return b"".join(blocks), False, True
            blocks.append(block)
            left -= len(block)
    except (ReadTimeoutError, TimeoutError):
        raise
    except (HTTPError, HTTPException, OSError):
        return b"".join(blocks), True, False
    length = response.headers.get("Content-Length")
    return b"".join(blocks), False, length == str(limit)


def _failure(method: str, error: Exception) -> ProbeFailed:
    """Return the failure without the error's message, which may hold the URL."""
    reason = describe_connection_error(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ProbeFailed("tls", f"the certificate is not valid: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return ProbeFailed("tls", f"TLS failed: {error.reason or reason}")
    if isinstance(error, NameResolutionError):
        return ProbeFailed("unreachable", reason)
    is_timeout = isinstance(error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError))
    if is_timeout and not isinstance(error, NewConnectionError):
        return ProbeFailed("timeout", f"{method} had no answer in time")
    return ProbeFailed("unreachable", f"{method} failed: {reason}")
