"""CORS headers of all responses, errors included, and preflights."""

from __future__ import annotations

import re

from flask import Flask, Response, request

from image_gateway.errors import Forbidden
from image_gateway.routes.http.public_url import own_root

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED = (
    "accept-ranges, content-range, content-length, content-encoding, etag, last-modified, retry-after, "
    "x-error-code"
)
DEFAULT_ALLOWED_HEADERS = (
    "range, if-range, if-none-match, if-match, if-modified-since, if-unmodified-since, "
    "content-type, content-digest, idempotency-key, authorization, x-user-id, x-accept-encoding"
)
USER_HEADER = "x-user-id"
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


def install_cors(app: Flask, origins: tuple[str, ...], *, guard_user_header: bool) -> None:
    """Answer every OPTIONS request, and add CORS headers to every response.

    With `guard_user_header` X-User-Id is refused, with Forbidden, from pages of other origins that `origins`
    does not name: where the header is believed, any page that a user visits could act as anyone.
    """

    def may_name_user() -> bool:
        return not guard_user_header or _is_known_page(origins)

    @app.before_request
    def answer_preflight_and_refuse_user_of_other_pages() -> Response | None:
        if request.method == "OPTIONS":
            return _preflight(may_name_user())
        if "HTTP_X_USER_ID" in request.environ and not may_name_user():
            raise Forbidden(
                "AUTH_MODE=dev does not accept X-User-Id from a page of another origin: "
                "add the origin to CORS_ALLOW_ORIGIN"
            )
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        _add_origin(response, origins)
        return response


def _is_known_page(origins: tuple[str, ...]) -> bool:
    """Return whether the request has no Origin, the gateway's own, or one that is allowed."""
    origin = request.environ.get("HTTP_ORIGIN")
    return origin is None or origin.lower() in {*origins, own_root().lower()}


def _preflight(may_name_user: bool) -> Response:
    response = Response(status=204)
    # There is no content that it could describe (RFC 9110 §15.3.5).
    del response.headers["Content-Type"]
    response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    response.headers["Access-Control-Allow-Headers"] = _allowed_headers(may_name_user)
    response.headers["Access-Control-Max-Age"] = "86400"
    response.headers["Vary"] = _PREFLIGHT_VARY
    return response


def _allowed_headers(may_name_user: bool) -> str:
    requested = request.headers.get("Access-Control-Request-Headers", "").strip(" \t")
    if len(requested) > MAX_REQUESTED_HEADERS or not _NAME_LIST.fullmatch(requested):
        requested = DEFAULT_ALLOWED_HEADERS
    if may_name_user or USER_HEADER not in requested.lower():
        return requested
    names = [name.strip(" \t") for name in requested.split(",")]
    return ", ".join(name for name in names if name.lower() != USER_HEADER)


def _add_origin(response: Response, origins: tuple[str, ...]) -> None:
    headers = origin_headers(origins, request.environ.get("HTTP_ORIGIN", ""))
    if "Vary" in headers:
        response.vary.add(headers.pop("Vary"))
    for name, value in headers.items():
        response.headers[name] = value
    if "Access-Control-Allow-Origin" not in headers:
        for name in ("Allow-Methods", "Allow-Headers", "Max-Age"):
            response.headers.remove(f"Access-Control-{name}")
