"""Who may do what: the one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to an image; of several, the one that may most."""

    OWNER = "owner"
    ADMIN = "admin"
    WRITER = "writer"
    READER = "reader"
    ANYONE = "anyone"
    STRANGER = "stranger"


class Action(StrEnum):
    """What can be done with an image.

    SHOW is its record; READ its bytes and facts; LEASE making a URL or lease that reads them; WRITE writing
    deltas over it; UPLOAD everything until it is complete; DESCRIBE its name and visibility; SHARE letting
    others in.
    """

    SHOW = "show"
    READ = "read"
    LEASE = "lease"
    WRITE = "write"
    UPLOAD = "upload"
    DESCRIBE = "describe"
    DELETE = "delete"
    SHARE = "share"


_READING = frozenset({Action.SHOW, Action.READ, Action.LEASE})

PERMISSIONS: Mapping[Role, frozenset[Action]] = {
    Role.OWNER: frozenset(Action),
    Role.ADMIN: _READING | {Action.DELETE},
    Role.WRITER: _READING | {Action.WRITE},
    Role.READER: _READING,
    Role.ANYONE: _READING,
    Role.STRANGER: frozenset(),
}
