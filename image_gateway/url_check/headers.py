"""Checks of the headers of an answer: encoding, type, caching, embedding, and how the URL redirects."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.client.verify_requests import PLAIN
from image_gateway.protocol.cache_control import directives
from image_gateway.protocol.verification import ContentHeaders, check_headers
from image_gateway.url_check.answers import Answer, quote_header
from image_gateway.url_check.codes import Fault, Tried
from image_gateway.url_check.target import FileState, Target

# Browsers unpack what they offered to take, and offer nothing with Range (Fetch). These two need the length
# of the file, or refuse the header.
_HURT_BY_ENCODED_GET = frozenset({"sqljs", "webvm"})
_SHARED = {"public", "s-maxage"}


def check_redirects(answer: Answer) -> Tried:
    """Check what led to an answer."""
    count = len(answer.hops)
    if not count:
        return Tried("headers", "redirects", "none")
    statuses = ", ".join(str(hop.status) for hop in answer.hops)
    where = "another origin" if any(hop.leaves_origin for hop in answer.hops) else "the same origin"
    what = f"{count} {'redirect' if count == 1 else 'redirects'} (HTTP {statuses}) to {where}"
    return Tried("headers", "redirects", faults=(Fault("redirect", what),))


def check_file_headers(file: FileState) -> Iterator[Tried]:
    """Check the headers of a plain GET and of a range, both also when compression is offered."""
    yield _check_encoding(file)
    yield check_content_headers(file.target, file.opened)


def check_content_headers(target: Target, answer: Answer, mime_type: str | None = None) -> Tried:
    """Check type and caching of an answer; `mime_type` is the only right type, None for any but text."""
    return Tried("headers", "type and caching", faults=tuple(_content_faults(target, answer, mime_type)))


def check_embedding(answer: Answer) -> Tried:
    """Check Cross-Origin-Resource-Policy."""
    value = answer.get("Cross-Origin-Resource-Policy")
    faults = () if value else (Fault("corp-missing", "Cross-Origin-Resource-Policy is absent"),)
    return Tried("headers", "embedding", value or "", faults)


def _check_encoding(file: FileState) -> Tried:
    faults = []
    plain = file.send("GET", PLAIN)
    if plain.is_encoded:
        what = f"a GET that offers compression has Content-Encoding {quote_header(plain, 'Content-Encoding')}"
        faults.append(Fault("content-encoding", what, _HURT_BY_ENCODED_GET))
    if file.takes_ranges:
        ranged = file.send("GET", {**PLAIN, "Range": "bytes=0-0"})
        if ranged.is_encoded:
            value = quote_header(ranged, "Content-Encoding")
            what = f"a range that offers compression has Content-Encoding {value}"
            faults.append(Fault("content-encoding", what, _HURT_BY_ENCODED_GET))
    if not faults and "Content-Encoding" in plain.headers:
        what = f"Content-Encoding is {quote_header(plain, 'Content-Encoding')}"
        faults.append(Fault("content-encoding-identity", what))
    return Tried("headers", "Content-Encoding", faults=tuple(faults))


def _content_faults(target: Target, answer: Answer, mime_type: str | None) -> Iterator[Fault]:
    caching = answer.get("Cache-Control")
    given = ContentHeaders(answer.get("Content-Type"), None, caching)
    for problem in check_headers("", given, mime_type):
        if problem.check == "content-type":
            yield Fault("content-type-wrong", f"Content-Type {problem.text}")
        elif problem.check == "cache-control":
            code = "cache-control-missing" if caching is None else "no-transform-missing"
            yield Fault(code, f"Cache-Control {problem.text}")
    if target.credential_headers and directives(caching) & _SHARED:
        what = f"Cache-Control is {quote_header(answer, 'Cache-Control')}, though credentials were sent"
        yield Fault("cacheable-private", what)
