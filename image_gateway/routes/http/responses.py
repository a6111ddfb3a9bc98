"""Makes responses: JSON, redirects and bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.http import http_date as format_http_date

from image_gateway.services.reading.cached_body import SEND_SIZE
from image_gateway.services.reading.representations import Answer, Representation

NO_STORE = "no-store"
PUBLIC = "public, max-age=300, no-transform"
PRIVATE = "private, no-cache, no-transform"
PRIVATE_VERSIONED = "private, max-age=31536000, immutable, no-transform"
PUBLIC_VERSIONED = "public, max-age=31536000, immutable, no-transform"
# Every credential by which the gateway decides who reads: a cache that keeps a private answer all the same
# must not hand it to somebody else (RFC 9110 §12.5.5).
CREDENTIALS = "Authorization, Cookie, X-User-Id"


class BytesResponse(Response):
    """Sends its headers exactly as they are set.

    Werkzeug strips Last-Modified and Content-Encoding from a 304; clients check both. It would also copy and
    look through all headers of each answer, which takes a while.
    """

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        return self.headers


def json_response(document: Any, status: int = 200, *, secret: bool = False) -> Response:
    """Return a JSON response; a `secret` one must not be stored by caches."""
    caching = NO_STORE if secret else "private, no-cache"
    headers = Headers([("Content-Type", "application/json"), ("Cache-Control", caching)])
    return BytesResponse(json.dumps(document), status, headers)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with whole seconds: 2026-11-22T19:00:00Z."""
    return moment.astimezone(UTC).isoformat("T", "seconds")[:19] + "Z"


@lru_cache(maxsize=4096)
def http_date(moment: datetime) -> str:
    """A date as headers have it (RFC 9110 §5.6.7): Sun, 22 Nov 2026 19:00:00 GMT."""
    return format_http_date(moment)


def redirect_to(url: str) -> Response:
    """Return a 307 with Cache-Control no-store: the URL may be signed."""
    response = Response(status=307)
    response.headers["Location"] = url
    response.headers["Cache-Control"] = NO_STORE
    response.autocorrect_location_header = False
    return response


def bytes_response(answer: Answer, resource_policy: str, *, public: bool = False) -> Response:
    """Render an answer of the streaming service; the server closes the body on every path.

    Bytes of a `public` image may be kept by shared caches, those of any other by the reader's own only: what
    the object's Cache-Control says is meant for an edge that checks each reader's signature.
    """
    headers = Headers(_common_headers(answer.representation, resource_policy))
    headers["Cache-Control"] = cache_control(answer.representation, public=public)
    if not public:
        headers["Vary"] = CREDENTIALS
    size = answer.representation.size
    if answer.status == 416:
        headers["Content-Range"] = f"bytes */{size}"
        headers["Content-Length"] = "0"
    elif answer.byte_range is not None:
        headers["Content-Range"] = answer.byte_range.as_content_range(size)
        headers["Content-Length"] = str(answer.byte_range.length)
    elif answer.status == 200:
        headers["Content-Length"] = str(size)
    return BytesResponse(_body_of(answer), answer.status, headers, direct_passthrough=True)


def view_response(
    answer: Answer, resource_policy: str, *, public: bool = False, is_leased: bool = False
) -> Response:
    """Render an answer like `bytes_response`, for clients that refuse any Content-Encoding.

    The URL of a lease is for one version, so that its reader may keep what is always the same in it.
    """
    response = bytes_response(answer, resource_policy, public=public)
    del response.headers["Content-Encoding"]
    is_lasting = is_leased and answer.representation.is_versioned
    if is_lasting and response.headers["Cache-Control"] == PRIVATE:
        response.headers["Cache-Control"] = PRIVATE_VERSIONED
    return response


def _body_of(answer: Answer) -> Iterable[bytes]:
    """Return the body; a file is left to the server, which sends it with sendfile."""
    body = answer.body
    if body is None:
        return ()
    wrapper = request.environ.get("wsgi.file_wrapper")
    file = body.file if wrapper is not None else None
    if wrapper is None or file is None:
        return body
    wrapped: Iterable[bytes] = wrapper(file, SEND_SIZE)
    return wrapped


def _common_headers(representation: Representation, resource_policy: str) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes" if representation.takes_ranges else "none",
        "Content-Type": representation.content_type,
        "Content-Encoding": "identity",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": resource_policy,
        "ETag": representation.etag,
    }
    if representation.last_modified is not None:
        headers["Last-Modified"] = http_date(representation.last_modified)
    return headers


def cache_control(representation: Representation, *, public: bool) -> str:
    """Return the Cache-Control of a response with these bytes."""
    if public:
        return PUBLIC_VERSIONED if representation.is_versioned else PUBLIC
    own = {directive.strip().lower() for directive in (representation.cache_control or "").split(",")}
    return "private, no-store, no-transform" if "no-store" in own else PRIVATE
