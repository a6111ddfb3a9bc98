"""The named faults that a file server can have, all in one table."""

from __future__ import annotations

from tests.support import range_faults, web_faults
from tests.support.range_server import Change

FAULTS: dict[str, Change] = {**range_faults.FAULTS, **web_faults.FAULTS}


def code_of(name: str) -> str:
    """The code of the finding that a fault leads to."""
    return name.partition(" (")[0]
