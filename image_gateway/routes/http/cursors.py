"""Opaque cursors of paginated lists."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from image_gateway.errors import BadRequest


def encode_cursor(place: tuple[datetime, str]) -> str:
    """Return the cursor for (created at, image id)."""
    moment, image_id = place
    return base64.urlsafe_b64encode(f"{moment.isoformat()}|{image_id}".encode()).decode()


def decode_cursor(text: str) -> tuple[datetime, str]:
    """Return (created at, image id) of a cursor; raises BadRequest for an invalid one."""
    try:
        moment, _, image_id = base64.b64decode(text, altchars=b"-_", validate=True).decode().partition("|")
        given = datetime.fromisoformat(moment)
        created_at = given.astimezone(UTC)
    except (binascii.Error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise BadRequest("cursor is invalid: use nextCursor of the previous page") from error
    if given.tzinfo is None or not image_id or not image_id.isprintable():
        raise BadRequest("cursor is invalid: use nextCursor of the previous page")
    return created_at, image_id
