"""Reads a chunked image over HTTP for verification, as a browser does: by plain GETs and single ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from urllib3 import BaseHTTPResponse

from image_gateway.client.credentials import CredentialSource
from image_gateway.client.retry import Retrier
from image_gateway.client.verify_requests import (
    GONE,
    PLAIN,
    RANGED,
    HttpReader,
    check_status,
    read_body,
    with_path,
)
from image_gateway.protocol.layout import chunk_name
from image_gateway.protocol.manifest import MAX_MANIFEST_BYTES
from image_gateway.protocol.verification import ContentHeaders, Received, WrongAnswer

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})", re.ASCII)
_RANGE_ROUTE = re.compile(r"(.*/v1/images/[^/]+)/range")
_LEASE = re.compile(r"(/v1/l/)[^/]+")


@dataclass(frozen=True)
class ImageUrls:
    """Where manifest and disk of an image are; the URLs may hold secrets.

    `optional_manifest` says that the manifest's URL is a guess.
    """

    manifest: str = field(repr=False)
    disk: str | None = field(default=None, repr=False)
    optional_manifest: bool = False


def find_urls(url: str) -> ImageUrls:
    """Return the URLs that belong to the URL of a manifest or of a disk, whose manifest lies beside it."""
    parts = urlsplit(url)
    name = parts.path.rpartition("/")[2]
    if name.endswith(".json") or name == "manifest":
        return ImageUrls(url)
    route = _RANGE_ROUTE.fullmatch(parts.path)
    path = f"{route[1]}/chunked/manifest" if route else f"{parts.path.rpartition('/')[0]}/manifest.json"
    return ImageUrls(with_path(url, path), url, optional_manifest=True)


def shown_url(url: str) -> str:
    """Return a URL without user name, query and lease token, for messages."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _LEASE.sub(r"\1[hidden]", parts.path), "", ""))


def chunk_url(manifest_url: str, index: int, width: int) -> str:
    """Return the URL of a chunk, which keeps the query of the manifest's URL."""
    folder = urlsplit(manifest_url).path.rpartition("/")[0]
    return with_path(manifest_url, f"{folder}/chunks/{chunk_name(index, width)}")


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
        origins = [url for url in (urls.manifest, urls.disk) if url]
        self._http = HttpReader(origins, who=who, retrier=retrier, connections=connections)

    def read_manifest(self) -> Received:
        # Object stores that do not let a reader list answer 403 for what is not there.
        missing = (*GONE, 403) if self.manifest_optional else GONE
        return self._read(self._urls.manifest, PLAIN, MAX_MANIFEST_BYTES, missing)

    def read_chunk(self, index: int, width: int, size: int) -> Received:
        return self._read(chunk_url(self._urls.manifest, index, width), PLAIN, size)

    def read_disk_range(self, start: int, stop: int) -> Received | None:
        if self._urls.disk is None:
            return None
        headers = {**RANGED, "Range": f"bytes={start}-{stop - 1}"}
        return self._read(self._urls.disk, headers, stop - start, byte_range=(start, stop))

    def _read(
        self,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        missing: tuple[int, ...] = GONE,
        byte_range: tuple[int, int] | None = None,
    ) -> Received:
        def receive(response: BaseHTTPResponse, _: str) -> Received:
            check_status(response, missing, ranged=byte_range is not None)
            total = _total(response, byte_range) if byte_range else None
            return Received(read_body(response, limit + 1), _content_headers(response), total)

        return self._http.read(url, headers, receive)


def _total(response: BaseHTTPResponse, byte_range: tuple[int, int]) -> int:
    """Return the size of the whole object; the range may be cut at its end."""
    start, stop = byte_range
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    first, last, total = map(int, match.groups()) if match else (0, 0, 0)
    if match is None or first != start or last + 1 != min(stop, total):
        raise WrongAnswer("range", "Content-Range is not that of the range that was asked for")
    return total


def _content_headers(response: BaseHTTPResponse) -> ContentHeaders:
    get = response.headers.get
    return ContentHeaders(get("Content-Type"), get("Content-Encoding"), get("Cache-Control"))
