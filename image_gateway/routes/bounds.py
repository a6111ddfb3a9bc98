"""Limits of a request as a whole, and the id by which the log knows it."""

from __future__ import annotations

import re
import uuid

from flask import Flask, Response, g, request

from image_gateway.errors import TooLarge, UrlTooLong
from image_gateway.routes.origin import check_host

MAX_URL = 8 * 1024
MAX_RANGE = 16 * 1024
MAX_JSON_BYTES = 4 * 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}", re.ASCII)


def install_bounds(app: Flask) -> None:
    """Name each request, and refuse those beyond the limits before anything else happens."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_JSON_BYTES
    # A doubled slash is another path, not a redirect to one that a Host header chose.
    app.url_map.merge_slashes = False

    @app.before_request
    def check_bounds() -> None:
        g.request_id = _request_id()
        if len(request.environ.get("RAW_URI") or request.full_path) > MAX_URL:
            raise UrlTooLong(f"the URL is longer than {MAX_URL} bytes")
        check_host()
        if len(request.headers.get("Range", "")) > MAX_RANGE:
            raise TooLarge(f"the Range header is longer than {MAX_RANGE} bytes")

    @app.after_request
    def add_request_id(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response


def _request_id() -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
