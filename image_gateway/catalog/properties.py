"""Properties of the catalog as a whole, one row each."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, insert, select

from image_gateway.catalog.models import PropertyRow
from image_gateway.catalog.transaction import Transactions

# The revision from which on programs may use the tables (ADR 29).
OLDEST_PROGRAM = "oldest_program"
# When the catalog was restored from a backup (ADR 30).
RESTORED_AT = "restored_at"


def read_property(connection: Connection, name: str) -> str | None:
    """Return the value of a property, or None."""
    return connection.execute(select(PropertyRow.value).where(PropertyRow.name == name)).scalar()


class PropertyRepository:
    """Reads and writes the properties. Raises CatalogUnavailable for database errors."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)

    def restored_at(self) -> datetime | None:
        """Return when the catalog was last restored from a backup, or None."""
        with self._transactions.reading() as connection:
            value = read_property(connection, RESTORED_AT)
        return datetime.fromisoformat(value) if value else None

    def mark_restored(self, now: datetime) -> None:
        """Record that the catalog was restored from a backup."""
        value = now.astimezone(UTC).isoformat()
        with self._transactions.writing() as connection:
            connection.execute(delete(PropertyRow).where(PropertyRow.name == RESTORED_AT))
            connection.execute(insert(PropertyRow).values(name=RESTORED_AT, value=value))
