"""Opaque cursors of paginated lists."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from image_gateway.errors import BadRequest

Place = tuple[datetime, str]
_Item = TypeVar("_Item")


def page_document(
    name: str,
    query: Mapping[str, Any],
    find: Callable[[Place | None, int], Sequence[_Item]],
    render: Callable[[_Item], Any],
    place_of: Callable[[_Item], Place],
) -> dict[str, Any]:
    """Return a page of a list as a JSON object, with `nextCursor` if there are more.

    Args:
        name: The field of the list.
        query: The loaded `limit` and `cursor`.
        find: Returns at most so many items after a place; it is asked for one more than the page has.
        render: Returns an item as JSON.
        place_of: Returns the place of an item in the list: a date, and an id.
    """
    limit = query["limit"]
    found = find(decode_cursor(query["cursor"]) if query["cursor"] else None, limit + 1)
    document: dict[str, Any] = {name: [render(item) for item in found[:limit]]}
    if len(found) > limit:
        document["nextCursor"] = encode_cursor(place_of(found[limit - 1]))
    return document


def encode_cursor(place: Place) -> str:
    """Return the cursor for (created at, image id)."""
    moment, image_id = place
    return base64.urlsafe_b64encode(f"{moment.isoformat()}|{image_id}".encode()).decode()


def decode_cursor(text: str) -> Place:
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
