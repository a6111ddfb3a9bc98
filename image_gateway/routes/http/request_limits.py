"""Limits of the URL, the Range header and the body."""

from __future__ import annotations

from flask import Flask, request

from image_gateway.errors import BadRequest, TooLarge, UrlTooLong
from image_gateway.routes.http.public_url import check_host

MAX_URL = 8 * 1024
MAX_RANGE = 16 * 1024
MAX_JSON_BYTES = 4 * 1024 * 1024


def require_whole(data: bytes) -> None:
    """Raise BadRequest for a body that is shorter than announced.

    gunicorn returns a truncated body when a client closes early.
    """
    if len(data) < (request.content_length or 0):
        raise BadRequest("the request body is shorter than Content-Length")


def install_bounds(app: Flask) -> None:
    """Refuse requests beyond the limits before anything else happens."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_JSON_BYTES
    # Do not redirect doubled slashes: the redirect would use the Host header.
    app.url_map.merge_slashes = False

    @app.before_request
    def check_bounds() -> None:
        environ = request.environ
        if len(environ.get("RAW_URI") or request.full_path) > MAX_URL:
            raise UrlTooLong(f"the URL is longer than {MAX_URL} bytes")
        check_host()
        if len(environ.get("HTTP_RANGE", "")) > MAX_RANGE:
            raise TooLarge(f"the Range header is longer than {MAX_RANGE} bytes")
