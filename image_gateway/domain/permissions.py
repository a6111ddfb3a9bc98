"""Permissions: a table of roles and actions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """The relation of a caller to an image; if several apply, the one with the most permissions."""

    OWNER = "owner"
    ADMIN = "admin"
    WRITER = "writer"
    READER = "reader"
    ANYONE = "anyone"
    STRANGER = "stranger"


class Action(StrEnum):
    """Actions on an image.

    SHOW reads its record; READ its bytes and metadata; LEASE creates a URL or lease for reading; WRITE writes
    deltas on top of it; UPLOAD covers everything until it is complete; PROCESS queues, shows and cancels its
    jobs; DESCRIBE changes its name and visibility; SHARE gives others access; AUDIT reads its audit entries,
    which name the users and links that have access.
    """

    SHOW = "show"
    READ = "read"
    LEASE = "lease"
    WRITE = "write"
    UPLOAD = "upload"
    PROCESS = "process"
    DESCRIBE = "describe"
    DELETE = "delete"
    SHARE = "share"
    AUDIT = "audit"


_READING = frozenset({Action.SHOW, Action.READ, Action.LEASE})

PERMISSIONS: Mapping[Role, frozenset[Action]] = {
    Role.OWNER: frozenset(Action),
    Role.ADMIN: _READING | {Action.DELETE},
    Role.WRITER: _READING | {Action.WRITE},
    Role.READER: _READING,
    Role.ANYONE: _READING,
    Role.STRANGER: frozenset(),
}


class DeltaAction(StrEnum):
    """Actions on a delta.

    SHOW reads its record; READ its disk; WRITE opens a session and commits; MANAGE renames it, and makes
    snapshots, forks and images of it.
    """

    SHOW = "show"
    READ = "read"
    WRITE = "write"
    MANAGE = "manage"
    DELETE = "delete"


DELTA_PERMISSIONS: Mapping[Role, frozenset[DeltaAction]] = {
    Role.OWNER: frozenset(DeltaAction),
    Role.ADMIN: frozenset({DeltaAction.SHOW, DeltaAction.READ, DeltaAction.DELETE}),
    Role.STRANGER: frozenset(),
}
