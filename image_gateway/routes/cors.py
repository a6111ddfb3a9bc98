"""CORS as code: one Access-Control-Allow-Origin, Vary always, also on errors."""

from __future__ import annotations

import re

from flask import Flask, Response, request

ALLOWED_METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
EXPOSED = "accept-ranges, content-range, content-length, content-encoding, etag, last-modified, retry-after"
DEFAULT_ALLOWED_HEADERS = (
    "range, if-range, if-none-match, if-match, if-modified-since, if-unmodified-since, "
    "content-type, authorization, x-user-id, x-accept-encoding"
)
MAX_REQUESTED_HEADERS = 4096
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAME_LIST = re.compile(rf"{_NAME}([ \t]*,[ \t]*{_NAME})*", re.ASCII)
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def origin_headers(allowed: tuple[str, ...], origin: str) -> dict[str, str]:
    """Return the CORS headers of any response.

    Args:
        allowed: CORS_ALLOW_ORIGIN: `*` alone, or origins in lower case.
        origin: The request's Origin; "" when it has none or it is not known.
    """
    if allowed == ("*",):
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if origin.lower() not in allowed:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }


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
    # There is no content that it could describe (RFC 9110 §15.3.5).
    del response.headers["Content-Type"]
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
    headers = origin_headers(origins, request.headers.get("Origin", ""))
    if "Vary" in headers:
        response.vary.add(headers.pop("Vary"))
    response.headers.update(headers)
    if "Access-Control-Allow-Origin" not in headers:
        for name in ("Allow-Methods", "Allow-Headers", "Max-Age"):
            response.headers.remove(f"Access-Control-{name}")
