"""Who is asking."""

from __future__ import annotations

from flask import current_app, request

from image_gateway.errors import BadRequest, Unauthenticated

PUBLIC = "public"
MAX_USER_ID = 256


def current_caller() -> str:
    """Return the caller's user id by the configured mode; Unauthenticated when there is none."""
    if current_app.config["GATEWAY_AUTH_MODE"] == "none":
        return PUBLIC
    return _read_user_id(request.headers.get("X-User-Id", ""))


def _read_user_id(header: str) -> str:
    try:
        user_id = header.encode("latin-1").decode("utf-8").strip()
    except UnicodeError as error:
        raise BadRequest("X-User-Id must be UTF-8") from error
    if not user_id:
        raise Unauthenticated("send who you are in the X-User-Id header")
    if len(user_id) > MAX_USER_ID or not user_id.isprintable():
        raise BadRequest(f"X-User-Id must be 1 to {MAX_USER_ID} printable characters")
    return user_id
