"""Starts, finds and ends the sessions of browsers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from image_gateway.catalog.sessions import SessionRepository
from image_gateway.domain.clock import now_of
from image_gateway.domain.sessions import BrowserSession
from image_gateway.observability.audit import audit

# 256 random bits, base64url.
ID_BYTES = 32
ID_LENGTH = 43
# A session's last use is recorded once in this fraction of the idle lifetime, so that few requests write.
RECORDED_PER_IDLE = 20


@dataclass(frozen=True)
class SessionRules:
    """Lifetimes in seconds: without use, and in all."""

    idle: int
    longest: int


@dataclass(frozen=True)
class StartedSession:
    """A session and its id, which only the browser's cookie keeps."""

    session: BrowserSession
    session_id: str = field(repr=False)


class Sessions:
    """Manages sessions. They are rows that nothing caches: an end holds at the next request of any worker."""

    def __init__(
        self, repository: SessionRepository, rules: SessionRules, clock: Callable[[], float]
    ) -> None:
        self._repository = repository
        self._rules = rules
        self._clock = clock

    def start(
        self, user: str, display_name: str, *, admin: bool = False, replaces: str | None = None
    ) -> StartedSession:
        """Start a session with a new id; the session with the id `replaces` ends."""
        now = now_of(self._clock)
        session_id = secrets.token_urlsafe(ID_BYTES)
        expires_at = now + timedelta(seconds=self._rules.longest)
        session = BrowserSession(user, display_name, admin, now, now, expires_at)
        old = _hash(replaces) if replaces is not None and len(replaces) == ID_LENGTH else None
        self._repository.add(_hash(session_id), session, replaces=old)
        audit("signed in", user=user)
        return StartedSession(session, session_id)

    def find(self, session_id: str) -> BrowserSession | None:
        """Return the session if it is alive, and record its use; None for any other id."""
        if len(session_id) != ID_LENGTH:
            return None
        key = _hash(session_id)
        session = self._repository.find(key)
        now = now_of(self._clock)
        if session is None or now >= self.end_of(session):
            return None
        if now - session.last_used_at >= timedelta(seconds=self._rules.idle / RECORDED_PER_IDLE):
            self._repository.touch(key, now)
        return session

    def end_of(self, session: BrowserSession) -> datetime:
        """Return when the session ends if it is not used any more."""
        return min(session.expires_at, session.last_used_at + timedelta(seconds=self._rules.idle))

    def end(self, session_id: str) -> None:
        """End a session; idempotent."""
        if len(session_id) == ID_LENGTH:
            self._repository.end(_hash(session_id))


def _hash(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
