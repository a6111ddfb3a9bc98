"""CORS as code: one Access-Control-Allow-Origin, Vary always, also on errors."""

from __future__ import annotations

import re

from flask import Flask, Response, request

ALLOWED_METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
EXPOSED = "accept-ranges, content-range, content-length, content-encoding, etag, last-modified"
DEFAULT_ALLOWED_HEADERS = (
    "range, if-range, if-none-match, if-match, if-modified-since, if-unmodified-since, "
    "content-type, authorization, x-user-id, x-accept-encoding"
)
MAX_REQUESTED_HEADERS = 4096
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAME_LIST = re.compile(rf"{_NAME}([ \t]*,[ \t]*{_NAME})*", re.ASCII)
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def install_cors(app: Flask, origins: tuple[str, ...]) -> None:
    """Answer every OPTIONS, and put the CORS headers on every response."""

    @app.before_request
    def answer_preflight() -> Response | None:
        return _preflight() if request.method == "OPTIONS" else None

    @app.after_request
    def add_headers(response: Response) -> Response:
        _add_origin(response, origins)
        return response


def _preflight() -> Response:
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    response.headers["Access-Control-Allow-Headers"] = _allowed_headers()
    response.headers["Access-Control-Max-Age"] = "86400"
    response.headers["Vary"] = _PREFLIGHT_VARY
    return response


def _allowed_headers() -> str:
    requested = request.headers.get("Access-Control-Request-Headers", "").strip(" \t")
    if len(requested) <= MAX_REQUESTED_HEADERS and _NAME_LIST.fullmatch(requested):
        return requested
    return DEFAULT_ALLOWED_HEADERS


def _add_origin(response: Response, origins: tuple[str, ...]) -> None:
    if origins == ("*",):
        response.headers["Access-Control-Allow-Origin"] = "*"
    else:
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin.lower() not in origins:
            for name in ("Methods", "Headers"):
                response.headers.remove(f"Access-Control-Allow-{name}")
            response.headers.remove("Access-Control-Max-Age")
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
