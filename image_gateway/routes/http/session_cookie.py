"""The cookie of a browser's session, and the checks against forged requests that carry it.

A browser sends the cookie with requests that pages of other origins make. Such a request is treated as if it
had no cookie; one that changes something must also prove that no HTML form made it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Response, request

from image_gateway.errors import Forbidden
from image_gateway.routes.http.public_url import own_root

# Browsers accept the prefix only with Secure, Path=/ and no Domain: no other host can set the cookie.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3.2
SESSION_COOKIE = "__Host-image-gateway"
HOST_ATTRIBUTES: Mapping[str, Any] = {"path": "/", "secure": True, "httponly": True, "samesite": "Lax"}
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def session_cookie() -> str | None:
    """Return the session id that the browser sent, or None."""
    if SESSION_COOKIE not in request.environ.get("HTTP_COOKIE", ""):
        return None
    return request.cookies.get(SESSION_COOKIE)


def set_session_cookie(response: Response, session_id: str, expires_at: datetime) -> None:
    """Let the browser keep the session id until `expires_at`."""
    response.set_cookie(SESSION_COOKIE, session_id, expires=expires_at, **HOST_ATTRIBUTES)


def delete_session_cookie(response: Response) -> None:
    """Let the browser forget the session id."""
    response.delete_cookie(SESSION_COOKIE, **HOST_ATTRIBUTES)


def comes_from_own_page() -> bool:
    """Return whether a page of this gateway made the request, as far as browsers tell.

    A request that changes something needs Sec-Fetch-Site or Origin as a proof. Reading needs only that
    neither of them says the opposite: a person may type a URL, and old browsers send neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if request.method not in SAFE_METHODS:
        return site == "same-origin" if site is not None else _is_own(origin)
    return site in (None, "same-origin", "none") and (origin is None or _is_own(origin))


def require_no_simple_request(session_id: str) -> None:
    """Raise Forbidden for a change that an HTML form could ask for: neither JSON nor with the CSRF token."""
    if request.method in SAFE_METHODS or request.mimetype == "application/json":
        return
    token = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(token.encode(), csrf_token(session_id).encode()):
        raise Forbidden(
            f"a signed-in browser must send Content-Type: application/json, or {CSRF_HEADER} as /v1/me has it"
        )


def csrf_token(session_id: str) -> str:
    """Return the CSRF token of a session, which tells nothing about its id."""
    digest = hashlib.sha256(b"csrf\0" + session_id.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_own(origin: str | None) -> bool:
    return origin is not None and origin.lower() == own_root().lower()
