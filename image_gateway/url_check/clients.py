"""What each reader client needs of a URL: which findings break it or slow it down, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from image_gateway.domain.findings import Severity
from image_gateway.url_check.codes import CODES, Fault


class UrlKind(StrEnum):
    """How the file or the files behind a URL are read."""

    FILE = "file, read by ranges"
    CHUNKED = "manifest with chunks"
    V86 = "v86 parts"
    TINYEMU = "TinyEMU blocks"
    INFINITE_MAC = "infinite-mac chunks"
    WEBVM = "WebVM blocks (GitHubDevice)"
    SQLITE = "sql.js-httpvfs configuration"


class Effect(StrEnum):
    """What a fault does to a client."""

    BREAKS = "breaks"
    SLOWS = "slows"
    WARNS = "warns"


@dataclass(frozen=True)
class Client:
    """A reader client.

    Attributes:
        reads: The kinds of URLs that it can be given.
        in_browser: Whether it is bound by CORS.
        breaks: Codes of the faults that break it, and what it does.
        slows: Codes of the faults that only slow it down.
        warns: Codes of other faults that its user should know of.
    """

    name: str
    reads: frozenset[UrlKind]
    wants: str
    in_browser: bool
    breaks: Mapping[str, str]
    slows: Mapping[str, str] = field(default_factory=dict)
    warns: frozenset[str] = frozenset()

    def effect(self, fault: Fault) -> Effect | None:
        """Return what a fault of a URL that this client reads does to it."""
        if fault.clients is not None and self.name not in fault.clients:
            return None
        if fault.code in self.breaks:
            return Effect.BREAKS
        if fault.code in self.slows:
            return Effect.SLOWS
        return Effect.WARNS if fault.code in self.warns or fault.code in _CONCERNS_ALL else None


# What concerns every reader, however it reads.
_CONCERNS_ALL = frozenset({"open-without-credentials", "cacheable-private", "no-transform-missing"})
_NO_ANSWER = {
    "unreachable": "gets no answer",
    "tls": "refuses the certificate",
    "timeout": "gets no answer in time",
    "status": "gets an error",
    "not-an-image": "takes a page for a disk",
    "layout-wrong": "cannot be given this URL",
    "redirect-loop": "follows no endless redirects",
    "redirect-to-http": "is led from https to http",
    "body-shorter": "gets fewer bytes than promised",
}
_ONE_MORE_REQUEST = {"redirect": "sends two requests for each read"}
_RANGES = {
    "no-ranges": "needs ranges",
    "range-wrong-bytes": "reads wrong bytes",
    "range-length-wrong": "reads wrong bytes, or refuses them",
    "content-encoding": "reads compressed bytes as the disk's",
}
_PAGE = {
    "cors-origin-missing": "the page may not read the answer",
    "cors-origin-wrong": "the page may not read the answer",
    "cors-credentials-wildcard": "the page may not read the answer with cookies",
}
_PREFLIGHTED = {
    "preflight-refused": "the browser does not send the read",
    "preflight-header-missing": "the browser does not send the read",
    "preflight-origin-missing": "the browser does not send the read",
    "cors-not-exposed": "cannot see a header that it needs",
}
_PIECES = {
    "manifest-invalid": "cannot use the document",
    "chunk-missing": "fails when it comes to this piece",
    "chunk-size-wrong": "puts bytes at wrong places",
    "chunk-differs": "reads wrong bytes",
}
# Fetch, CORS-safelisted request-header: current browsers send a single Range without a preflight.
_OF_OLDER_BROWSERS = frozenset({"preflight-refused", "preflight-header-missing", "preflight-origin-missing"})
_OF_PAGES = frozenset({"vary-origin-missing", "corp-missing", "cors-missing-on-errors"})
_BROWSER_CACHE = {
    "if-none-match-ignored": "loads again what the browser's cache has",
    "etag-missing": "loads again what the browser's cache has",
}

CLIENTS: dict[str, Client] = {
    client.name: client
    for client in (
        Client(
            "v86",
            frozenset({UrlKind.FILE, UrlKind.V86}),
            "a disk, or with use_parts …/v86/BLOCK_SIZE/disk.img of a gateway",
            True,
            {
                **_NO_ANSWER,
                **_RANGES,
                **_PAGE,
                **_PREFLIGHTED,
                **_PIECES,
                "no-ranges": "aborts at a 200 to a range",
                "content-range-wrong": "learns the size from it, unless it is told `size`",
                "content-range-missing": "learns the size from it, unless it is told `size`",
                "content-range-unknown-total": "learns the size from it, unless it is told `size`",
                "cors-not-exposed": "cannot see the size in Content-Range, unless it is told `size`",
            },
            _ONE_MORE_REQUEST,
            _OF_PAGES,
        ),
        Client(
            "webvm",
            frozenset({UrlKind.FILE, UrlKind.WEBVM}),
            "a disk, or …/disk.ext2 with .meta and blocks beside it",
            True,
            {
                **_NO_ANSWER,
                **_RANGES,
                **_PAGE,
                **_PREFLIGHTED,
                **_PIECES,
                "content-range-wrong": "learns the size from it",
                "content-range-missing": "learns the size from it",
                "content-range-unknown-total": "learns the size from it",
                "cors-not-exposed": "cannot see Content-Range, or neither ETag nor Last-Modified",
                "range-not-clipped": "its last range goes beyond the end",
                "content-encoding-identity": "refuses an answer with this header",
                "content-encoding": "refuses an answer with Content-Encoding",
                "etag-missing": "needs an ETag or Last-Modified that it can read",
                "etag-unstable": "takes the disk for changed",
            },
            _ONE_MORE_REQUEST,
            _OF_PAGES,
        ),
        Client(
            "tinyemu",
            frozenset({UrlKind.TINYEMU}),
            "…/blk.txt with blocks beside it",
            True,
            {**_NO_ANSWER, **_PAGE, **_PIECES, "chunk-missing": "exits on any HTTP error"},
            _ONE_MORE_REQUEST,
            _OF_PAGES,
        ),
        Client(
            "infinite-mac",
            frozenset({UrlKind.INFINITE_MAC}),
            "…/manifest.json of its own chunks",
            True,
            {**_NO_ANSWER, **_PAGE, **_PIECES, "chunk-missing": "gives the guest zeros"},
            _ONE_MORE_REQUEST,
            _OF_PAGES,
        ),
        Client(
            "sqljs",
            frozenset({UrlKind.FILE, UrlKind.SQLITE}),
            "an SQLite database, or …/config.json",
            True,
            {
                **_NO_ANSWER,
                **_RANGES,
                **_PAGE,
                **_PIECES,
                "content-encoding": "learns no size from a compressed answer",
                "head-refused": "begins with HEAD",
                "head-length-missing": "learns the size from HEAD",
                "head-length-differs": "learns the size from HEAD",
            },
            _ONE_MORE_REQUEST,
            _OF_PAGES | _OF_OLDER_BROWSERS | {"content-range-wrong"},
        ),
        Client(
            "qemu",
            frozenset({UrlKind.FILE}),
            "a disk",
            False,
            {
                **_NO_ANSWER,
                **_RANGES,
                "head-refused": "begins with HEAD",
                "head-length-missing": "learns the size from HEAD",
                "head-length-differs": "learns the size from HEAD",
                "accept-ranges-missing": "refuses a server that does not say `bytes` to HEAD",
                "accept-ranges-none": "refuses a server that does not say `bytes` to HEAD",
            },
            {**_ONE_MORE_REQUEST, "head-has-body": "has to connect again"},
            frozenset({"content-range-wrong"}),
        ),
        Client(
            "aria2",
            frozenset({UrlKind.FILE}),
            "a file",
            False,
            {
                **_NO_ANSWER,
                **_RANGES,
                "no-ranges": "fails on a 200 to a range",
                "content-range-wrong": "compares it with what it asked for",
                "content-range-missing": "compares it with what it asked for",
                "content-range-unknown-total": "resumes no download without the size",
                "range-chunked": "resumes no download without the length of the rest",
                "size-unknown": "takes a file that it resumes for complete",
            },
            _ONE_MORE_REQUEST,
        ),
        Client(
            "browser",
            frozenset({UrlKind.FILE, UrlKind.CHUNKED}),
            "a disk, or a manifest with chunks",
            True,
            {
                **_NO_ANSWER,
                **_RANGES,
                **_PAGE,
                **_PREFLIGHTED,
                **_PIECES,
                "content-range-wrong": "refuses it, if the page compares it with what it asked for",
                "chunk-encoded": "refuses a chunk with Content-Encoding",
            },
            {**_ONE_MORE_REQUEST, **_BROWSER_CACHE},
            _OF_PAGES,
        ),
    )
}


def severity_of(fault: Fault, clients: Iterable[Client]) -> Severity:
    """Return the severity for these clients: broken if one of them breaks, or if other clients would."""
    if any(client.effect(fault) is Effect.BREAKS for client in clients):
        return Severity.BROKEN
    return Severity.WARNING if fault.clients is not None else CODES[fault.code].severity
