"""The gateway's one shape of error, for requests that never reach the app."""

from __future__ import annotations

import json
import re
import uuid

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException

from image_gateway.routes.cors import origin_headers

_REASONS = {
    400: "Bad Request",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}
_ORIGIN = re.compile(rb"^origin:[ \t]*([!-~]*)[ \t]*\r\n", re.IGNORECASE | re.MULTILINE)


def describe_refusal(exc: BaseException) -> tuple[int, str, str]:
    """Status, code and message; the text tells nothing of the request's content."""
    if isinstance(exc, LimitRequestLine):
        return 414, "URL_TOO_LONG", "the URL is longer than 8 KiB"
    if isinstance(exc, LimitRequestHeaders):
        return 431, "HEADERS_TOO_LARGE", "a header, or all together, are too large"
    if isinstance(exc, ParseException):
        return 400, "BAD_REQUEST", "the request is not valid HTTP"
    return 500, "INTERNAL", "the gateway failed; its log says more"


def render_refusal(
    status: int, code: str, message: str, *, allowed_origins: tuple[str, ...], received: bytes
) -> bytes:
    """Return the whole response, after which the connection closes.

    Args:
        status: 400, 414, 431 or 500.
        code: The error code of the JSON body.
        message: The error message of the JSON body, in ASCII.
        allowed_origins: CORS_ALLOW_ORIGIN.
        received: What is known of the request as it came, perhaps nothing. The Origin is looked for in it.
    """
    cors = origin_headers(allowed_origins, _find_origin(received))
    body = json.dumps({"error": {"code": code, "message": message}})
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Connection: close",
        "Content-Type: application/json",
        "Cache-Control: no-store",
        f"X-Request-Id: {uuid.uuid4().hex}",
        *(f"{name}: {value}" for name, value in cors.items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", body]).encode("ascii")


def _find_origin(received: bytes) -> str:
    """Return the one Origin of a head that may be cut or malformed, and "" where there is none or several."""
    # A last line without its end is left out: it may be the beginning of another origin.
    head, end, _ = received.partition(b"\r\n\r\n")
    found = _ORIGIN.findall(head + end[:2])
    return found[0].decode("ascii") if len(found) == 1 else ""
