"""What is checked: the URL, who reads it and from which page, and what becomes known about the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from image_gateway.client.verify_requests import RANGED, origin_of, with_path
from image_gateway.observability.masking import names_a_secret
from image_gateway.protocol.repeated_secrets import LEASE
from image_gateway.url_check.answers import Answer
from image_gateway.url_check.clients import UrlKind
from image_gateway.url_check.prober import Prober

# The origin of pages on no host of anybody's, if none is given.
SAMPLE_ORIGIN = "https://page.example"
# How much of an answer of 200 is read where the whole is not needed.
PREFIX = 64 * 1024
_V86 = re.compile(r".*/v86/(?:[0-9]{3,8}|any)/[^/]*\.img(?:\.zst)?|.*/v86/(?:[0-9]{3,8}|any)/")
_WEBVM = re.compile(r".*/webvm/(?:[^/]*)|.*\.meta")
# Headers that say nothing about who asks.
_PLAIN_HEADERS = {"accept", "accept-language", "origin", "referer", "user-agent", "cache-control", "pragma"}
_SIGNED_QUERY = {"expires", "policy", "sig", "se", "lease", "x-amz-algorithm", "x-goog-algorithm"}


@dataclass(frozen=True)
class Target:
    """A URL to check.

    Attributes:
        headers: Headers of the command line, which are sent to the URL's origin only; they are secrets.
        client: Name of the client that reads, None for all.
        origin: Origin of the page that reads, None if none was given.
        chunked: Whether the URL is that of a chunked image.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    client: str | None = None
    origin: str | None = None
    chunked: bool = False

    @property
    def page(self) -> str:
        """The origin of the page whose reads are tried."""
        return self.origin or SAMPLE_ORIGIN

    @property
    def is_same_origin(self) -> bool:
        """Whether the page has the origin of the URL, so that it needs no permission."""
        return origin_of(self.page) == origin_of(self.url)

    @property
    def credential_headers(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {name: text for name, text in self.headers.items() if name.lower() not in _PLAIN_HEADERS}

    @property
    def url_without_secrets(self) -> str | None:
        """The URL without signature, or with no lease that exists; None if it holds no such secret."""
        parts = urlsplit(self.url)
        leased = LEASE.fullmatch(parts.path)
        if leased:
            return with_path(self.url, f"{leased[1]}none{leased[3]}")
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        if any(names_a_secret(name) or name.lower() in _SIGNED_QUERY for name in names):
            return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        return None

    def guess_kind(self) -> UrlKind:
        """Return how the client reads this URL, by its name and the client's."""
        path = urlsplit(self.url).path
        name = path.rpartition("/")[2]
        if self.chunked:
            return UrlKind.CHUNKED
        if self.client in ("qemu", "aria2"):
            return UrlKind.FILE
        if self.client == "tinyemu" or (self.client is None and name == "blk.txt"):
            return UrlKind.TINYEMU
        if self.client == "infinite-mac" or (self.client is None and "/infinite-mac/" in path):
            return UrlKind.INFINITE_MAC
        if self.client in ("v86", None) and _V86.fullmatch(path):
            return UrlKind.V86
        if self.client in ("webvm", None) and _WEBVM.fullmatch(path) and "/webvm/bytes/" not in path:
            return UrlKind.WEBVM
        if (self.client == "sqljs" and name.endswith(".json")) or (
            self.client is None and name == "config.json"
        ):
            return UrlKind.SQLITE
        if self.client in ("browser", None) and (name == "manifest" or name.endswith(".json")):
            return UrlKind.CHUNKED
        return UrlKind.FILE


@dataclass
class FileState:
    """What is known about one file. The answers to reads of it are compared with each other.

    Attributes:
        takes_ranges: Whether a range was answered with 206; None if it was not tried.
    """

    target: Target
    prober: Prober
    url: str = field(repr=False)
    opened: Answer
    size: int | None = None
    takes_ranges: bool | None = None
    etags: list[str | None] = field(default_factory=list)
    seen: list[tuple[int, bytes]] = field(default_factory=list, repr=False)

    @property
    def etag(self) -> str | None:
        return self.opened.get("ETag")

    @property
    def last_modified(self) -> str | None:
        return self.opened.get("Last-Modified")

    def send(self, method: str = "GET", headers: Mapping[str, str] | None = None, *, read: int = 0) -> Answer:
        """Send a request for the file, with the bytes as they are, and note the ETag that a GET has."""
        answer = self.prober.send(method, self.url, {**RANGED, **(headers or {})}, read=read)
        if method == "GET" and answer.status in (200, 206):
            self.etags.append(answer.get("ETag"))
        return answer

    def read_range(self, spec: str, read: int) -> Answer:
        """Read a range such as `0-9`, and at most `read` bytes of it."""
        return self.send("GET", {"Range": f"bytes={spec}"}, read=read)

    def differs(self, start: int, data: bytes) -> int | None:
        """Return the first offset at which bytes from `start` differ from earlier ones, and keep them."""
        for other_start, other in self.seen:
            first, stop = max(start, other_start), min(start + len(data), other_start + len(other))
            if first >= stop:
                continue
            here, there = data[first - start : stop - start], other[first - other_start : stop - other_start]
            if here != there:
                return first + next(
                    index for index, pair in enumerate(zip(here, there, strict=True)) if pair[0] != pair[1]
                )
        self.seen.append((start, data))
        return None
