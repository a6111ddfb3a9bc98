"""Sends the requests of a verification: credentials, redirects, retries and bounded bodies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from image_gateway.client.credentials import Credentials, CredentialSource, nobody
from image_gateway.client.errors import ApiError, connection_error, retry_after
from image_gateway.client.retry import Retrier
from image_gateway.protocol.verification import Missing, Unreadable, WrongAnswer

CONNECT_SECONDS, READ_SECONDS = 10, 60
# For one body, however slowly it comes: 64 MiB at 0.6 Mbit/s.
BODY_SECONDS = 900.0
BLOCK = 256 * 1024
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
GONE = (404, 410)
# Browsers offer compression for plain GETs, and none for ranges (Fetch standard).
PLAIN = {"Accept-Encoding": "gzip, deflate, br, zstd"}
RANGED = {"Accept-Encoding": "identity"}

Result = TypeVar("Result")


def is_readable_url(url: str) -> bool:
    """Return whether this is a URL with http or https, a host, and nothing that a request cannot carry."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and url.isascii() and url.isprintable() and " " not in url


def with_path(url: str, path: str) -> str:
    """Return a URL with another path, and the same query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, parts.fragment))


class HttpReader:
    """Reads answers over HTTP; thread-safe. Temporary errors are retried.

    Credentials are sent to the origins of the given URLs only.

    Args:
        urls: URLs whose origins may have the credentials.
        who: Headers that authenticate the reads.
        retrier: Limits the time of retries.
        connections: Size of the connection pool.
    """

    def __init__(
        self,
        urls: Iterable[str],
        *,
        who: CredentialSource | None = None,
        retrier: Retrier,
        connections: int = 8,
    ) -> None:
        self._who = who or nobody()
        self._retrier = retrier
        self._origins = {origin_of(url) for url in urls}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        self._http = urllib3.PoolManager(maxsize=connections, retries=False, timeout=timeout)

    def read(
        self,
        url: str,
        headers: Mapping[str, str],
        receive: Callable[[BaseHTTPResponse, str], Result],
        method: str = "GET",
    ) -> Result:
        """Send a request and return what `receive` makes of the answer.

        Args:
            receive: Called with the answer and the URL that it came from after redirects; may raise ApiError.

        Raises:
            Unreadable: There is no answer.
        """

        def attempt() -> Result:
            response, answering = self._send(method, url, headers)
            try:
                return receive(response, answering)
            except HTTPError as error:
                raise connection_error(method, error) from None
            finally:
                # Unread data would be parsed as the next response on this connection.
                response.close()
                response.release_conn()

        try:
            return self._retrier.call(attempt, "server")
        except ApiError as error:
            raise Unreadable(str(error)) from None

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> tuple[BaseHTTPResponse, str]:
        """Send a request, again with newer credentials after a 401 if there are some."""
        credentials = self._who.credentials()
        response, answering = self._follow(method, url, headers, credentials)
        if response.status != 401 or not self._who.replaces(credentials, ApiError("HTTP 401", status=401)):
            return response, answering
        response.close()
        response.release_conn()
        return self._follow(method, url, headers, self._who.credentials())

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], credentials: Credentials
    ) -> tuple[BaseHTTPResponse, str]:
        # What a browser sends when a page of one origin was redirected by another one to a third one.
        foreign = {"Origin": "null"} if "Origin" in credentials.headers else {}
        for _ in range(MAX_REDIRECTS + 1):
            known = credentials.headers if origin_of(url) in self._origins else foreign
            try:
                response = self._http.request(
                    method,
                    url,
                    headers={**known, **headers},
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            except HTTPError as error:
                raise connection_error(method, error) from None
            if response.status not in _REDIRECTS:
                return response, url
            response.close()
            response.release_conn()
            url = follow(url, response.headers.get("Location", ""))
        raise Unreadable(f"more than {MAX_REDIRECTS} redirects")


def follow(url: str, location: str) -> str:
    """Return the URL that a redirect leads to; raises Unreadable for one that a browser refuses."""
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    if not is_readable_url(target):
        raise Unreadable("a redirect leads to no http or https URL")
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise Unreadable("a redirect leads from https to http")
    return target


def check_status(
    response: BaseHTTPResponse, missing: tuple[int, ...] = GONE, *, ranged: bool = False
) -> None:
    """Raise what another status than 200, or 206 for a range, means."""
    status = response.status
    if status == (206 if ranged else 200):
        return
    if status in missing:
        raise Missing
    if ranged and status == 200:
        raise WrongAnswer("range", "a range was answered with 200: ranges are not supported")
    if 200 <= status < 400 or status == 416:
        raise WrongAnswer("status", f"HTTP {status} instead of {206 if ranged else 200}")
    # The body is not quoted: it may repeat what was sent.
    raise ApiError(f"HTTP {status}", status=status, retry_after=retry_after(response))


def read_body(response: BaseHTTPResponse, limit: int) -> bytes:
    """Return up to `limit` bytes; of an object of the right size, the end is read, too."""
    deadline = time.monotonic() + BODY_SECONDS
    blocks, left = [], limit
    while left and (block := response.read(min(left, BLOCK), decode_content=False)):
        if time.monotonic() > deadline:
            raise ApiError(f"the body took longer than {BODY_SECONDS:.0f} s", retryable=False)
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or default
