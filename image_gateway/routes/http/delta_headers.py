"""Header fields and bodies of requests that write to deltas."""

from __future__ import annotations

import re

from flask import request

from image_gateway.errors import BadRequest, PreconditionRequired, TooLarge, UnsupportedMediaType
from image_gateway.protocol.content_digest import parse_content_digest
from image_gateway.routes.http.request_limits import require_whole
from image_gateway.services.reading.representations import OCTETS

# Below 2^63, as the catalog stores it.
_GENERATION = re.compile(r'"(0|[1-9][0-9]{0,17})"', re.ASCII)
_KEY = re.compile(r"[ -~]{1,128}", re.ASCII)


def required_generation() -> int:
    """Return the generation in If-Match; raises PreconditionRequired without one, and BadRequest."""
    header = request.headers.get("If-Match")
    if header is None:
        raise PreconditionRequired('If-Match is missing: send the generation that you know, such as "7"')
    return _parse_generation(header)


def optional_generation() -> int | None:
    """Return the generation in If-Match, None without one and for `*`; raises BadRequest."""
    header = request.headers.get("If-Match")
    return None if header is None or header.strip() == "*" else _parse_generation(header)


def idempotency_key() -> str | None:
    """Return the Idempotency-Key, or None; raises BadRequest for an empty, long or unprintable one."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header.strip(" \t")
    if not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must have 1 to 128 printable ASCII characters")
    return key


def content_sha256() -> str | None:
    """Return the SHA-256 in Content-Digest in hex, or None; raises BadRequest."""
    header = request.headers.get("Content-Digest")
    if header is None:
        return None
    try:
        digest = parse_content_digest(header)
    except ValueError as error:
        raise BadRequest(f"Content-Digest: {error}") from error
    return digest.hex() if digest is not None else None


def read_octets(most: int) -> bytes:
    """Return the body of at most so many bytes, with or without a Content-Length.

    Raises:
        UnsupportedMediaType: The body is something else than application/octet-stream.
        TooLarge: It has more bytes.
    """
    if request.mimetype != OCTETS:
        raise UnsupportedMediaType(f"Content-Type must be {OCTETS}")
    # Werkzeug truncates a chunked body at its limit without an error: one byte more tells.
    request.max_content_length = most + 1
    data = request.get_data(cache=False)
    if len(data) > most:
        raise TooLarge(f"the request body is larger than {most} bytes")
    require_whole(data)
    return data


def _parse_generation(header: str) -> int:
    match = _GENERATION.fullmatch(header.strip(" \t"))
    if match is None:
        raise BadRequest('If-Match must be one generation in quotes, such as "7"')
    return int(match[1])
