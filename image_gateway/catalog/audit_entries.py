"""Stores the audit entries of images in the catalog."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, and_, delete, func, insert, or_, select

from image_gateway.catalog.models import AuditEntryRow
from image_gateway.catalog.transaction import Transactions
from image_gateway.domain.audit import AuditEntry

_COLUMNS = AuditEntryRow.__table__.columns


class AuditRepository:
    """Stores audit entries in SQL. Each method runs in one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)

    def add(self, entry: AuditEntry) -> None:
        """Insert a new entry."""
        values = {
            "entry_id": entry.entry_id,
            "image_id": entry.image_id,
            "created_at": entry.created_at,
            "event": entry.event,
            "user_id": entry.user,
            "details": json.dumps(dict(entry.details)),
        }
        with self._transactions.writing() as connection:
            connection.execute(insert(AuditEntryRow).values(**values))

    def list(self, image_id: str, *, after: tuple[datetime, str] | None, limit: int) -> Sequence[AuditEntry]:
        """Return up to `limit` entries of an image, newest first, after the cursor (created at, entry id)."""
        row = AuditEntryRow
        statement = select(*_COLUMNS).where(row.image_id == image_id)
        if after:
            moment, entry_id = after
            same_moment = and_(row.created_at == moment, row.entry_id < entry_id)
            statement = statement.where(row.created_at <= moment, or_(row.created_at < moment, same_moment))
        newest_first = statement.order_by(row.created_at.desc(), row.entry_id.desc()).limit(limit)
        with self._transactions.reading() as connection:
            found = connection.execute(newest_first).all()
        return [
            AuditEntry(
                entry_id=item.entry_id,
                image_id=item.image_id,
                created_at=item.created_at,
                event=item.event,
                user=item.user_id,
                details=json.loads(item.details),
            )
            for item in found
        ]

    def forget(self, created_before: datetime, *, limit: int) -> int:
        """Delete up to `limit` entries from before `created_before`, oldest first; return their number."""
        old = select(AuditEntryRow.entry_id).where(AuditEntryRow.created_at < created_before)
        chosen = old.order_by(AuditEntryRow.created_at, AuditEntryRow.entry_id).limit(limit)
        statement = delete(AuditEntryRow).where(AuditEntryRow.entry_id.in_(chosen))
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount

    def count_old(self, created_before: datetime) -> int:
        """Return the number of entries that `forget` would delete without a limit."""
        statement = select(func.count()).where(AuditEntryRow.created_at < created_before)
        with self._transactions.reading() as connection:
            return connection.execute(statement).scalar() or 0
