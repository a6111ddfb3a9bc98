"""Faults of ranges, of HEAD, of validators and of bodies."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable

from tests.support.fault_table import Faults, actual, headed, partial, reads
from tests.support.range_server import Request, Respond, Response

FAULTS = Faults()
_ANY_RANGE = re.compile("bytes=([0-9]*)-([0-9]*)")


def _range_of(request: Request) -> tuple[str, str]:
    """The numbers of a single range, as text; both are empty without one."""
    found = _ANY_RANGE.fullmatch(request.headers.get("range", ""))
    return (found[1], found[2]) if found else ("", "")


def _content_range(response: Response) -> tuple[int, int, int]:
    """First byte, last byte and size, as a 206 says it."""
    first, last, size = re.findall("[0-9]+", response.headers["Content-Range"])
    return int(first), int(last), int(size)


# Ranges (RFC 9110, section 14)

FAULTS.ignoring("no-ranges", "range")
FAULTS.with_headers("content-range-missing", partial, content_range=None)
FAULTS.with_headers("accept-ranges-missing", actual, accept_ranges=None)
FAULTS.with_headers("accept-ranges-none", reads, accept_ranges="none")
FAULTS.with_headers(
    "unsatisfied-without-size", lambda _, response: response.status == 416, content_range=None
)
FAULTS.with_headers("range-chunked", partial, content_length=None, transfer_encoding="chunked")


@FAULTS.fault("no-ranges (http.server)")
def _no_ranges_at_all(request: Request, right: Respond) -> Response:
    return right(request.with_headers(range=None)).with_headers(accept_ranges=None)


@FAULTS.fault("range-wrong-bytes")
def _range_wrong_bytes(request: Request, right: Respond) -> Response:
    """A range that does not start at 0 starts one byte early."""
    response = right(request)
    if response.status != 206 or _content_range(response)[0] == 0:
        return response
    whole = right(request.with_headers(range=None)).body
    first, last, _ = _content_range(response)
    return response.with_body(whole[first - 1 : last])


@FAULTS.fault("content-range-wrong")
def _content_range_wrong(request: Request, right: Respond) -> Response:
    """The last byte is told one too high, as the end of a slice."""
    response = right(request)
    if response.status != 206:
        return response
    first, last, size = _content_range(response)
    return response.with_headers(content_range=f"bytes {first}-{last + 1}/{size}")


@FAULTS.fault("content-range-wrong (total)")
def _content_range_wrong_total(request: Request, right: Respond) -> Response:
    """The size is told as half of what it is."""
    response = right(request)
    if response.status != 206:
        return response
    first, last, size = _content_range(response)
    return response.with_headers(content_range=f"bytes {first}-{last}/{max(size // 2, last + 1)}")


@FAULTS.fault("content-range-unknown-total")
def _content_range_unknown_total(request: Request, right: Respond) -> Response:
    response = right(request)
    if response.status != 206:
        return response
    first, last, _ = _content_range(response)
    return response.with_headers(content_range=f"bytes {first}-{last}/*")


@FAULTS.fault("range-length-wrong")
def _range_length_wrong(request: Request, right: Respond) -> Response:
    """The last byte is left out, as if `last` were the end of a slice."""
    response = right(request)
    return response.with_body(response.body[:-1]) if response.status == 206 else response


@FAULTS.fault("suffix-range-wrong")
def _suffix_range_wrong(request: Request, right: Respond) -> Response:
    """`-n` is read as `0-n`."""
    first, last = _range_of(request)
    return right(request.with_headers(range=f"bytes=0-{last}") if last and not first else request)


@FAULTS.fault("suffix-range-wrong (416)")
def _suffix_range_refused(request: Request, right: Respond) -> Response:
    first, last = _range_of(request)
    return right(request.with_headers(range="bytes=-0") if last and not first else request)


@FAULTS.fault("range-beyond-end-not-416")
def _range_beyond_end(request: Request, right: Respond) -> Response:
    response = right(request)
    beyond = response.status == 416 and _range_of(request)[0] != "" and not _is_reversed(request)
    return right(request.with_headers(range=None)) if beyond else response


@FAULTS.fault("range-not-clipped")
def _range_not_clipped(request: Request, right: Respond) -> Response:
    """A range that ends beyond the end is refused."""
    response = right(request)
    last = _range_of(request)[1]
    if response.status == 206 and _range_of(request)[0] and last and int(last) > _content_range(response)[1]:
        return right(request.with_headers(range="bytes=-0"))
    return response


@FAULTS.fault("multiple-ranges-wrong")
def _multiple_ranges_wrong(request: Request, right: Respond) -> Response:
    """Several ranges are sent one behind the other, as if they were the first one."""
    unit, _, several = request.headers.get("range", "").partition("=")
    if unit != "bytes" or "," not in several:
        return right(request)
    parts = [right(request.with_headers(range=f"bytes={one.strip()}")) for one in several.split(",")]
    return parts[0].with_body(b"".join(part.body for part in parts))


def _is_reversed(request: Request) -> bool:
    first, last = _range_of(request)
    return first != "" and last != "" and int(last) < int(first)


@FAULTS.fault("reversed-range-accepted")
def _reversed_range(request: Request, right: Respond) -> Response:
    first, last = _range_of(request)
    return right(request.with_headers(range=f"bytes={last}-{first}") if _is_reversed(request) else request)


# HEAD (section 9.3.2)

FAULTS.with_headers("head-length-missing", headed, content_length=None)
FAULTS.with_headers("head-headers-differ", headed, last_modified="Fri, 27 Nov 2026 10:00:00 GMT")
FAULTS.with_headers("head-headers-differ (ETag)", headed, etag='"of-head"')


@FAULTS.fault("head-refused")
def _head_refused(request: Request, right: Respond) -> Response:
    if request.method != "HEAD":
        return right(request)
    cors = {name: value for name, value in right(request).headers.items() if name.startswith("Access-")}
    return Response(405, {**cors, "Allow": "GET, OPTIONS", "Content-Length": "0"})


@FAULTS.fault("head-length-differs")
def _head_length_differs(request: Request, right: Respond) -> Response:
    """HEAD tells half of the size, as of a compressed file."""
    response = right(request)
    if not headed(request, response):
        return response
    return response.with_headers(content_length=str(int(response.headers["Content-Length"]) // 2))


@FAULTS.fault("head-length-differs (0)")
def _head_length_zero(request: Request, right: Respond) -> Response:
    response = right(request)
    return response.with_headers(content_length="0") if headed(request, response) else response


@FAULTS.fault("head-has-body")
def _head_has_body(request: Request, right: Respond) -> Response:
    response = right(request)
    if not headed(request, response):
        return response
    whole = right(Request("GET", request.path, request.headers)).body
    # A short body is enough to spoil the next response on the connection.
    return Response(200, response.headers, whole[:512])


# Validators and preconditions (sections 8.8 and 13)

FAULTS.with_headers("etag-missing", reads, etag=None)
FAULTS.with_headers("last-modified-missing", reads, last_modified=None)
FAULTS.with_headers("last-modified-invalid", reads, last_modified="2026-11-28T10:00:00Z")
FAULTS.with_headers(
    "not-modified-without-validators", lambda _, r: r.status == 304, etag=None, last_modified=None
)
FAULTS.ignoring("if-none-match-ignored", "if-none-match")
FAULTS.ignoring("if-match-ignored", "if-match")
FAULTS.ignoring("if-range-ignored", "if-range")
FAULTS.ignoring("if-modified-since-ignored", "if-modified-since")


@FAULTS.fault("etag-weak")
def _etag_weak(request: Request, right: Respond) -> Response:
    """A weak tag never matches strongly, so If-Range and If-Match by it never hold."""
    response = right(request)
    etag = response.headers.get("ETag")
    return response if etag is None else response.with_headers(etag=f"W/{etag}")


def _on_tags(request: Request, change: Callable[[str], str]) -> Request:
    named = {"if-none-match", "if-match", "if-range"} & request.headers.keys()
    return request.with_headers(**{name: change(request.headers[name]) for name in named})


@FAULTS.fault("etag-unquoted")
def _etag_unquoted(request: Request, right: Respond) -> Response:
    """It takes unquoted tags as it gives them."""
    response = right(_on_tags(request, lambda tag: f'"{tag}"' if re.fullmatch("[0-9a-f]+", tag) else tag))
    etag = response.headers.get("ETag")
    return response if etag is None else response.with_headers(etag=etag.strip('"'))


_numbers = itertools.count()


@FAULTS.fault("etag-unstable")
def _etag_unstable(request: Request, right: Respond) -> Response:
    """Each response has a tag of its own, and each of them matches, as from servers that share no state."""
    response = right(_on_tags(request, lambda tag: re.sub("-[0-9]+", "", tag)))
    etag = response.headers.get("ETag")
    return response if etag is None else response.with_headers(etag=f'{etag[:-1]}-{next(_numbers)}"')


# Bodies


@FAULTS.fault("size-unknown")
def _size_unknown(request: Request, right: Respond) -> Response:
    """Neither HEAD nor GET nor a range tells the size."""
    response = right(request)
    if response.status == 206:
        return _content_range_unknown_total(request, right)
    if response.status == 416:
        return response.with_headers(content_range=None)
    if request.method == "HEAD":
        return response.with_headers(content_length=None)
    if response.status == 200:
        return response.with_headers(content_length=None, transfer_encoding="chunked")
    return response


@FAULTS.fault("size-unknown (of a GET)")
def _size_unknown_of_get(request: Request, right: Respond) -> Response:
    """Only ranges tell the size, as of a proxy that compresses everything else."""
    response = right(request)
    if response.status != 200 or request.method == "OPTIONS":
        return response
    return response.with_headers(content_length=None, transfer_encoding="chunked")


@FAULTS.fault("body-shorter")
def _body_shorter(request: Request, right: Respond) -> Response:
    """Bodies of more than 512 bytes break off in the middle, as from a proxy with a full disk."""
    response = right(request)
    cut = len(response.body) // 2 if len(response.body) > 512 else len(response.body)
    return Response(response.status, response.headers, response.body[:cut])


@FAULTS.fault("content-encoding")
def _content_encoding(request: Request, right: Respond) -> Response:
    """Whole files are compressed for whoever accepts it, as by a proxy that compresses everything."""
    response = right(request)
    if response.status != 200 or "gzip" not in request.headers.get("accept-encoding", ""):
        return response
    compressed = gzip.compress(right(Request("GET", request.path, request.headers)).body, 1)
    headers = response.with_headers(content_encoding="gzip", vary="Accept-Encoding", accept_ranges=None)
    zipped = headers.with_body(compressed)
    return zipped if request.method == "GET" else Response(200, zipped.headers)


@FAULTS.fault("content-encoding-identity")
def _content_encoding_identity(request: Request, right: Respond) -> Response:
    response = right(request)
    return response.with_headers(content_encoding="identity") if reads(request, response) else response
