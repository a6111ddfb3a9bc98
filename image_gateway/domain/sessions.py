"""Sessions of browsers that signed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class BrowserSession:
    """A browser that signed in as a user; `expires_at` is its end, however much it is used."""

    user: str
    display_name: str
    admin: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
