"""gunicorn's threaded worker, with the gateway's one shape of error for what never reaches the app."""

from __future__ import annotations

import json
import socket
import uuid
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

_REASONS = {
    400: "Bad Request",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


class GatewayWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Answers requests that gunicorn cannot parse as JSON instead of HTML.

    Their Origin was not parsed either, so browsers can read the answer only where any origin may.
    """

    allow_any_origin = False

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Close instead of answering twice when a body that was not read turns out to be malformed."""
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except ParseException as error:
            self.log.warning("closed after a malformed body: %s", type(error).__name__)
            return False

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that failed outside the app; the text tells nothing of its content."""
        status, code, message = _describe(exc)
        if status == 500:
            self.log.error("a request failed outside the app", exc_info=exc)
        else:
            self.log.warning("refused a malformed request: %s", type(exc).__name__)
        try:
            write_nonblock(client, _render(status, code, message, allow_any_origin=self.allow_any_origin))
        except OSError as error:
            self.log.debug("the refused client is gone: %s", error)


def _describe(exc: BaseException) -> tuple[int, str, str]:
    if isinstance(exc, LimitRequestLine):
        return 414, "URL_TOO_LONG", "the URL is longer than 8 KiB"
    if isinstance(exc, LimitRequestHeaders):
        return 431, "HEADERS_TOO_LARGE", "a header, or all together, are too large"
    if isinstance(exc, ParseException):
        return 400, "BAD_REQUEST", "the request is not valid HTTP"
    return 500, "INTERNAL", "the gateway failed; its log says more"


def _render(status: int, code: str, message: str, *, allow_any_origin: bool) -> bytes:
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
