"""The gateway's one shape of error, for requests that never reach the app."""

from __future__ import annotations

import json
import uuid

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException

_REASONS = {
    400: "Bad Request",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


def describe_refusal(exc: BaseException) -> tuple[int, str, str]:
    """Status, code and message; the text tells nothing of the request's content."""
    if isinstance(exc, LimitRequestLine):
        return 414, "URL_TOO_LONG", "the URL is longer than 8 KiB"
    if isinstance(exc, LimitRequestHeaders):
        return 431, "HEADERS_TOO_LARGE", "a header, or all together, are too large"
    if isinstance(exc, ParseException):
        return 400, "BAD_REQUEST", "the request is not valid HTTP"
    return 500, "INTERNAL", "the gateway failed; its log says more"


def render_refusal(status: int, code: str, message: str, *, allow_any_origin: bool) -> bytes:
    """The whole response, after which the connection closes."""
    cors = "Access-Control-Allow-Origin: *\r\n" if allow_any_origin else ""
    body = json.dumps({"error": {"code": code, "message": message}})
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        "Cache-Control: no-store\r\n"
        f"X-Request-Id: {uuid.uuid4().hex}\r\n"
        f"{cors}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode("ascii")
