"""Reads a chunked image over HTTP for verification, as a browser does: by plain GETs and single ranges."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from image_gateway.client.credentials import Credentials, CredentialSource, nobody
from image_gateway.client.errors import ApiError, connection_error, retry_after
from image_gateway.client.retry import Retrier
from image_gateway.protocol.layout import chunk_name
from image_gateway.protocol.manifest import MAX_MANIFEST_BYTES
from image_gateway.protocol.verification import (
    ContentHeaders,
    Missing,
    Received,
    Unreadable,
    WrongAnswer,
)

CONNECT_SECONDS, READ_SECONDS = 10, 60
# For one body, however slowly it comes: 64 MiB at 0.6 Mbit/s.
BODY_SECONDS = 900.0
BLOCK = 256 * 1024
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_GONE = (404, 410)
# Browsers offer compression for plain GETs, and none for ranges (Fetch standard).
_PLAIN = {"Accept-Encoding": "gzip, deflate, br, zstd"}
_RANGED = {"Accept-Encoding": "identity"}
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})", re.ASCII)
_RANGE_ROUTE = re.compile(r"(.*/v1/images/[^/]+)/range")
_LEASE = re.compile(r"(/v1/l/)[^/]+")

Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageUrls:
    """Where manifest and disk of an image are; the URLs may hold secrets.

    `optional_manifest` says that the manifest's URL is a guess.
    """

    manifest: str = field(repr=False)
    disk: str | None = field(default=None, repr=False)
    optional_manifest: bool = False


def is_readable_url(url: str) -> bool:
    """Return whether this is a URL with http or https, a host, and nothing that a request cannot carry."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and url.isascii() and url.isprintable() and " " not in url


def find_urls(url: str) -> ImageUrls:
    """Return the URLs that belong to the URL of a manifest or of a disk, whose manifest lies beside it."""
    parts = urlsplit(url)
    name = parts.path.rpartition("/")[2]
    if name.endswith(".json") or name == "manifest":
        return ImageUrls(url)
    route = _RANGE_ROUTE.fullmatch(parts.path)
    path = f"{route[1]}/chunked/manifest" if route else f"{parts.path.rpartition('/')[0]}/manifest.json"
    return ImageUrls(_with_path(url, path), url, optional_manifest=True)


def shown_url(url: str) -> str:
    """Return a URL without user name, query and lease token, for messages."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _LEASE.sub(r"\1[hidden]", parts.path), "", ""))


class HttpSource:
    """An image behind URLs; thread-safe. The query of the manifest's URL is kept for the chunks.

    Credentials are sent to the origins of the given URLs only. Temporary errors are retried.

    Args:
        who: Headers that authenticate the reads.
        retrier: Limits the time of retries.
        connections: Size of the connection pool.
    """

    def __init__(
        self,
        urls: ImageUrls,
        *,
        who: CredentialSource | None = None,
        retrier: Retrier,
        connections: int = 8,
    ) -> None:
        self.manifest_optional = urls.optional_manifest
        self._urls = urls
        self._who = who or nobody()
        self._retrier = retrier
        self._origins = {_origin(url) for url in (urls.manifest, urls.disk) if url}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        self._http = urllib3.PoolManager(maxsize=connections, retries=False, timeout=timeout)

    def read_manifest(self) -> Received:
        # Object stores that do not let a reader list answer 403 for what is not there.
        missing = (*_GONE, 403) if self.manifest_optional else _GONE
        return self._read(self._urls.manifest, _PLAIN, MAX_MANIFEST_BYTES, missing)

    def read_chunk(self, index: int, width: int, size: int) -> Received:
        parts = urlsplit(self._urls.manifest)
        path = f"{parts.path.rpartition('/')[0]}/chunks/{chunk_name(index, width)}"
        return self._read(_with_path(self._urls.manifest, path), _PLAIN, size)

    def read_disk_range(self, start: int, stop: int) -> Received | None:
        if self._urls.disk is None:
            return None
        headers = {**_RANGED, "Range": f"bytes={start}-{stop - 1}"}
        return self._read(self._urls.disk, headers, stop - start, byte_range=(start, stop))

    def _read(
        self,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        missing: tuple[int, ...] = _GONE,
        byte_range: tuple[int, int] | None = None,
    ) -> Received:
        def read() -> Received:
            response = self._send(url, headers)
            try:
                _check_status(response, missing, ranged=byte_range is not None)
                total = _total(response, byte_range) if byte_range else None
                return Received(_read_body(response, limit + 1), _content_headers(response), total)
            except HTTPError as error:
                raise connection_error("GET", error) from None
            finally:
                # Unread data would be parsed as the next response on this connection.
                response.close()
                response.release_conn()

        try:
            return self._retrier.call(read, "server")
        except ApiError as error:
            raise Unreadable(str(error)) from None

    def _send(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Send a GET, again with newer credentials after a 401 if there are some."""
        credentials = self._who.credentials()
        response = self._follow(url, headers, credentials)
        if response.status != 401 or not self._who.replaces(credentials, ApiError("HTTP 401", status=401)):
            return response
        response.close()
        response.release_conn()
        return self._follow(url, headers, self._who.credentials())

    def _follow(self, url: str, headers: Mapping[str, str], credentials: Credentials) -> BaseHTTPResponse:
        for _ in range(MAX_REDIRECTS + 1):
            known = credentials.headers if _origin(url) in self._origins else {}
            try:
                response = self._http.request(
                    "GET",
                    url,
                    headers={**known, **headers},
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            except HTTPError as error:
                raise connection_error("GET", error) from None
            if response.status not in _REDIRECTS:
                return response
            response.close()
            response.release_conn()
            url = _redirected(url, response.headers.get("Location", ""))
        raise Unreadable(f"more than {MAX_REDIRECTS} redirects")


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    if not is_readable_url(target):
        raise Unreadable("a redirect leads to no http or https URL")
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise Unreadable("a redirect leads from https to http")
    return target


def _check_status(response: BaseHTTPResponse, missing: tuple[int, ...], *, ranged: bool) -> None:
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


def _total(response: BaseHTTPResponse, byte_range: tuple[int, int]) -> int:
    """Return the size of the whole object; the range may be cut at its end."""
    start, stop = byte_range
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    first, last, total = map(int, match.groups()) if match else (0, 0, 0)
    if match is None or first != start or last + 1 != min(stop, total):
        raise WrongAnswer("range", "Content-Range is not that of the range that was asked for")
    return total


def _read_body(response: BaseHTTPResponse, limit: int) -> bytes:
    """Return up to `limit` bytes; of an object of the right size, the end is read, too."""
    deadline = time.monotonic() + BODY_SECONDS
    blocks, left = [], limit
    while left and (block := response.read(min(left, BLOCK), decode_content=False)):
        if time.monotonic() > deadline:
            raise ApiError(f"the body took longer than {BODY_SECONDS:.0f} s", retryable=False)
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)


def _content_headers(response: BaseHTTPResponse) -> ContentHeaders:
    get = response.headers.get
    return ContentHeaders(get("Content-Type"), get("Content-Encoding"), get("Cache-Control"))


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or default


def _with_path(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, parts.fragment))
