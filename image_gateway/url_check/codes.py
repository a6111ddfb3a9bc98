"""The codes of all findings about a URL: how bad each is for whoever reads, why, and what mends it.

docs/reference/findings.md lists the same codes.
"""

from __future__ import annotations

from dataclasses import dataclass

from image_gateway.domain.findings import Severity


@dataclass(frozen=True)
class Code:
    """What is the same for every finding of a code.

    `severity` holds also where no known client breaks.
    """

    severity: Severity
    why: str
    remedy: str


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a URL.

    Attributes:
        what: What was seen; no secrets.
        clients: The clients that it can concern; None for all that read such a URL.
    """

    code: str
    what: str
    clients: frozenset[str] | None = None


@dataclass(frozen=True)
class Tried:
    """One thing that was tried, before it is known whom its faults concern.

    `is_unfinished` says that there is more to try, which the limits or the server did not allow.
    """

    subject: str
    name: str
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    skipped: str | None = None
    is_unfinished: bool = False


NOBODY: frozenset[str] = frozenset()
_RANGES = "serve the file with byte ranges as nginx and S3 do, and let no proxy change Range or Content-Range"
_CORS = "allow the page's origin: CORS_ALLOW_ORIGIN of the gateway, or the CORS rules of the bucket or server"
_VALIDATORS = "let the server send one ETag per version and evaluate conditional requests"
_PUBLISH = (
    "publish the image again (image-gateway publish), and look for a proxy or a sync that changes files"
)
_CACHE = "send Cache-Control with no-transform, and private for what not everybody may read"


def _broken(why: str, remedy: str) -> Code:
    return Code(Severity.BROKEN, why, remedy)


def _warning(why: str, remedy: str) -> Code:
    return Code(Severity.WARNING, why, remedy)


CODES: dict[str, Code] = {
    "unreachable": _broken("no client can read the URL", "check host, port and firewall"),
    "tls": _broken(
        "clients refuse the connection",
        "install a valid certificate for this host, with its chain; use http:// if the port speaks no TLS",
    ),
    "timeout": _broken("clients give up or hang", "look for what blocks the server, or the path to it"),
    "status": _broken(
        "RFC 9110 15: clients read only 200 and 206", "check the URL, its expiry and credentials"
    ),
    "not-an-image": _broken(
        "the answer is a page, not a disk", "give the URL of the file, not of a page about it"
    ),
    "layout-wrong": _broken("the client cannot be given this URL", "give it the URL that its layout demands"),
    "redirect": _warning(
        "RFC 9110 15.4: each read takes one more request, and after a redirect to another origin the page's "
        "origin is null (Fetch)",
        "give the URL that the redirect leads to, if it does not expire",
    ),
    "redirect-loop": _broken("RFC 9110 15.4: clients give up", "mend the redirects"),
    "redirect-to-http": _broken("pages on https may not load http (Mixed Content)", "redirect to https"),
    "no-ranges": _broken("RFC 9110 14.2: readers need parts of the file, not all of it", _RANGES),
    "range-wrong-bytes": _broken("RFC 9110 15.3.7: readers get other bytes than they asked for", _RANGES),
    "content-range-missing": _broken("RFC 9110 15.3.7.1: a 206 must say which bytes it has", _RANGES),
    "content-range-wrong": _broken("RFC 9110 14.4: a 206 says that it has other bytes", _RANGES),
    "content-range-unknown-total": _broken(
        "RFC 9110 14.4: clients learn the size from Content-Range", _RANGES
    ),
    "range-length-wrong": _broken("RFC 9110 8.6, 14.4: a 206 has more or fewer bytes than it says", _RANGES),
    "range-chunked": _broken(
        "a 206 without Content-Length: CloudFront answers with the whole file, and aria2 resumes no download",
        "send Content-Length with each 206; turn off filters that buffer nothing, such as compression",
    ),
    "suffix-range-wrong": _broken(
        "RFC 9110 14.1.2: archive readers ask for the last bytes first, and fail", _RANGES
    ),
    "range-beyond-end-not-416": _warning("RFC 9110 15.5.17: readers cannot see where the file ends", _RANGES),
    "unsatisfied-without-size": _warning("RFC 9110 15.5.17: a 416 should tell the size", _RANGES),
    "range-not-clipped": _broken(
        "RFC 9110 14.1.2: the last block of many clients goes beyond the end", _RANGES
    ),
    "multiple-ranges-wrong": _broken(
        "RFC 9110 15.3.7.2: a client that asks for several ranges takes the wrong bytes for them",
        "answer several ranges with multipart/byteranges, 200 or 416",
    ),
    "reversed-range-accepted": _warning(
        "RFC 9110 14.1.1: an invalid range must be ignored or refused", _RANGES
    ),
    "accept-ranges-missing": _broken(
        "RFC 9110 14.3: clients that look for it take the file for unreadable",
        "send Accept-Ranges: bytes with GET and HEAD",
    ),
    "accept-ranges-none": _broken(
        "RFC 9110 14.3: clients believe that there are no ranges",
        "send Accept-Ranges: bytes with GET and HEAD",
    ),
    "head-refused": _broken(
        "RFC 9110 9.3.2: clients that begin with HEAD cannot open the file",
        "allow HEAD; a URL that is presigned for GET refuses it, so use a lease or a cookie",
    ),
    "head-length-differs": _broken(
        "RFC 9110 8.6: Content-Length of HEAD must be that of GET",
        "let HEAD and GET be answered by the same server",
    ),
    "head-length-missing": _broken(
        "clients that begin with HEAD learn the size from it",
        "send Content-Length with HEAD; turn off compression",
    ),
    "head-headers-differ": _warning(
        "RFC 9110 9.3.2: HEAD should have the headers of GET",
        "let HEAD and GET be answered by the same server",
    ),
    "head-has-body": _broken(
        "RFC 9110 9.3.2: the body of HEAD is taken for the next answer on the connection",
        "send no body with HEAD",
    ),
    "etag-missing": _warning("RFC 9110 8.8.3: without it, clients mix two versions of a file", _VALIDATORS),
    "etag-weak": _warning(
        "RFC 9110 13.1.5: a weak ETag cannot be used with If-Range and If-Match",
        "send a strong ETag; nginx weakens it when it compresses",
    ),
    "etag-unquoted": _warning("RFC 9110 8.8.3: an ETag has quotes", _VALIDATORS),
    "etag-unstable": _broken(
        "clients take the file for changed at every read", "let all servers behind the URL make the same ETag"
    ),
    "last-modified-missing": _warning(
        "RFC 9110 8.8.2: clients without ETag cannot see a change", _VALIDATORS
    ),
    "last-modified-invalid": _warning("RFC 9110 5.6.7: clients ignore a date of another form", _VALIDATORS),
    "if-none-match-ignored": _warning("RFC 9110 13.1.2: caches load again what they have", _VALIDATORS),
    "if-match-ignored": _warning("RFC 9110 13.1.1: a client gets bytes of another version", _VALIDATORS),
    "if-range-ignored": _broken("RFC 9110 13.1.5: a resumed download mixes two versions", _VALIDATORS),
    "if-modified-since-ignored": _warning("RFC 9110 13.1.3: caches load again what they have", _VALIDATORS),
    "not-modified-without-validators": _warning(
        "RFC 9110 15.4.5: a 304 must have the ETag of the 200", _VALIDATORS
    ),
    "size-unknown": _broken(
        "RFC 9110 8.6: clients that read on to the end cannot see whether they have all",
        "send Content-Length; turn off compression",
    ),
    "body-shorter": _broken(
        "RFC 9112 6.3: the connection ends before the body does", "look for timeouts of proxies"
    ),
    "content-encoding": _broken(
        "RFC 9110 8.4: offsets and sizes are those of other bytes", "turn off compression"
    ),
    "content-encoding-identity": _warning(
        "CheerpX refuses an answer whose Content-Encoding it can read, also `identity`",
        "leave the header out; of a gateway, use the view /webvm/bytes/disk.ext2",
    ),
    "content-type-wrong": _warning(
        "RFC 9110 8.3: proxies compress and scripts decode what is declared as text",
        "send Content-Type: application/octet-stream",
    ),
    "preflight-refused": _broken("Fetch, CORS-preflight fetch: the browser does not send the read", _CORS),
    "preflight-header-missing": _broken(
        "Fetch, CORS-preflight fetch: the browser does not send the header",
        "list the header in Access-Control-Allow-Headers",
    ),
    "preflight-origin-missing": _broken("Fetch, CORS check: the preflight allows no origin", _CORS),
    "cors-origin-missing": _broken("Fetch, CORS check: the page cannot read the answer", _CORS),
    "cors-origin-wrong": _broken("Fetch, CORS check: exactly this one origin or * must be allowed", _CORS),
    "cors-not-exposed": _broken(
        "Fetch, CORS-exposed header: the script sees no such header",
        "list the headers in Access-Control-Expose-Headers",
    ),
    "cors-credentials-wildcard": _warning(
        "Fetch, CORS check: with cookies, * allows nobody", "send the page's origin in place of *"
    ),
    "cors-missing-on-errors": _warning(
        "the page sees a network error in place of the status",
        "send the CORS headers with every status (nginx: add_header … always)",
    ),
    "vary-origin-missing": _warning(
        "RFC 9110 12.5.5: a cache hands the answer for one origin to pages of another", "send Vary: Origin"
    ),
    "corp-missing": _warning(
        "Fetch, cross-origin resource policy check: isolated pages cannot embed the URL",
        "send Cross-Origin-Resource-Policy: cross-origin",
    ),
    "cacheable-private": _warning("RFC 9111 3.5: a shared cache hands the bytes to others", _CACHE),
    "cache-control-missing": _warning(
        "RFC 9111 4.2.2: caches guess how long they keep it, and proxies may change it", _CACHE
    ),
    "no-transform-missing": _warning("RFC 9111 5.2.2.6: proxies may compress or change the bytes", _CACHE),
    "open-without-credentials": _warning(
        "everybody who knows the URL can read it",
        "make the image private, or leave the credentials out of the check",
    ),
    "manifest-invalid": _broken(
        "clients cannot use the document",
        f"give the URL of the document, such as …/manifest.json or …/blk.txt; if it is that, {_PUBLISH}",
    ),
    "chunk-missing": _broken("clients fail when they come to this piece", _PUBLISH),
    "chunk-size-wrong": _broken("clients put the bytes at wrong places", _PUBLISH),
    "chunk-differs": _broken("clients read other bytes than the disk has", _PUBLISH),
    "chunk-encoded": _broken("RFC 9110 8.4: clients of chunks refuse the encoding", "turn off compression"),
    "beyond-end-not-404": _warning(
        "clients cannot see where the pieces end", "answer 404 to names that do not exist"
    ),
}
