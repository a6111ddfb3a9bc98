"""Stores the sessions of browsers in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, bindparam, delete, func, insert, select, update

from image_gateway.catalog.models import BrowserSessionRow
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.transaction import Transactions
from image_gateway.domain.sessions import BrowserSession

_COLUMNS = BrowserSessionRow.__table__.columns
_FACTS = (
    _COLUMNS.user_id,
    _COLUMNS.display_name,
    _COLUMNS.admin,
    _COLUMNS.created_at,
    _COLUMNS.last_used_at,
    _COLUMNS.expires_at,
)
_FIND = select(*_FACTS).where(_COLUMNS.session_sha256 == bindparam("session_sha256"))


class SessionRepository:
    """Stores sessions by the SHA-256 of their ids. Each method runs in one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)
        self._prepared = PreparedSelects(engine)

    def add(self, session_sha256: str, session: BrowserSession, *, replaces: str | None = None) -> None:
        """Insert a session, and delete the one that it replaces in the same transaction."""
        values = {
            "session_sha256": session_sha256,
            "user_id": session.user,
            "display_name": session.display_name,
            "admin": session.admin,
            "created_at": session.created_at,
            "last_used_at": session.last_used_at,
            "expires_at": session.expires_at,
        }
        with self._transactions.writing() as connection:
            if replaces is not None:
                connection.execute(
                    delete(BrowserSessionRow).where(BrowserSessionRow.session_sha256 == replaces)
                )
            connection.execute(insert(BrowserSessionRow).values(**values))

    def find(self, session_sha256: str) -> BrowserSession | None:
        """Return the session, also when it has expired, or None."""
        row = self._prepared.first(_FIND, {"session_sha256": session_sha256})
        return BrowserSession(*row) if row else None

    def touch(self, session_sha256: str, now: datetime) -> None:
        """Record that the session was used; an earlier time than the recorded one changes nothing."""
        statement = update(BrowserSessionRow).where(
            BrowserSessionRow.session_sha256 == session_sha256, BrowserSessionRow.last_used_at < now
        )
        self._execute(statement.values(last_used_at=now))

    def end(self, session_sha256: str) -> bool:
        """Delete the session. Return False if there is none."""
        found = BrowserSessionRow.session_sha256 == session_sha256
        return self._execute(delete(BrowserSessionRow).where(found)) == 1

    def end_of_user(self, user: str) -> int:
        """Delete all sessions of a user, and return their number."""
        return self._execute(delete(BrowserSessionRow).where(BrowserSessionRow.user_id == user))

    def end_all(self, *, dry_run: bool = False) -> int:
        """End all sessions, and return their number; `dry_run` only counts."""
        if not dry_run:
            return self._execute(delete(BrowserSessionRow))
        with self._transactions.reading() as connection:
            return connection.execute(select(func.count()).select_from(BrowserSessionRow)).scalar() or 0

    def of_user(self, user: str) -> Sequence[BrowserSession]:
        """Return a user's sessions, newest first, expired ones included."""
        statement = select(*_FACTS).where(_COLUMNS.user_id == user).order_by(_COLUMNS.created_at.desc())
        with self._transactions.reading() as connection:
            return [BrowserSession(*row) for row in connection.execute(statement)]

    def forget(self, expired_by: datetime, *, limit: int) -> int:
        """Delete up to `limit` sessions that expired by this time, and return their number."""
        old = select(_COLUMNS.session_sha256).where(_COLUMNS.expires_at <= expired_by)
        chosen = old.order_by(_COLUMNS.expires_at).limit(limit)
        return self._execute(delete(BrowserSessionRow).where(BrowserSessionRow.session_sha256.in_(chosen)))

    def count_expired(self, expired_by: datetime) -> int:
        """Return the number of sessions that `forget` would delete without a limit."""
        statement = select(func.count()).where(_COLUMNS.expires_at <= expired_by)
        with self._transactions.reading() as connection:
            return connection.execute(statement).scalar() or 0

    def _execute(self, statement: Any) -> int:
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount
