"""Stores writers in the catalog: requests and commands that may still write an image's objects."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, delete, insert, select, update

from image_gateway.catalog.models import ImageRow, WriterRow
from image_gateway.catalog.transaction import Transactions
from image_gateway.domain.images import ImageState


class WriterRepository:
    """Registers writers, so that a purge can wait for the last one. Each method runs in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)

    def add(self, writer_id: str, image_id: str, state: ImageState, expires_at: datetime) -> bool:
        """Register a writer. Return False if the image is not in `state`.

        The image's row is locked, so a concurrent state change either is seen here or sees the writer.
        """
        chosen = select(ImageRow.state).where(ImageRow.image_id == image_id).with_for_update()
        with self._transactions.writing() as connection:
            if connection.execute(chosen).scalar() != state.value:
                return False
            values = {"writer_id": writer_id, "image_id": image_id, "expires_at": expires_at}
            connection.execute(insert(WriterRow).values(**values))
            return True

    def renew(self, writer_id: str, state: ImageState, expires_at: datetime) -> bool:
        """Extend a writer to `expires_at`. Return False if its image left `state` or the writer is gone."""
        image_in_state = (
            select(ImageRow.image_id)
            .where(ImageRow.image_id == WriterRow.image_id, ImageRow.state == state.value)
            .exists()
        )
        statement = update(WriterRow).where(WriterRow.writer_id == writer_id, image_in_state)
        with self._transactions.writing() as connection:
            return connection.execute(statement.values(expires_at=expires_at)).rowcount == 1

    def remove(self, writer_id: str) -> None:
        """Remove a writer. Removing it again is not an error."""
        with self._transactions.writing() as connection:
            connection.execute(delete(WriterRow).where(WriterRow.writer_id == writer_id))

    def any_active(self, image_id: str, now: datetime, *, besides: str = "") -> bool:
        """Return whether any writer other than `besides` may still write objects of this image."""
        statement = select(WriterRow.writer_id).where(
            WriterRow.image_id == image_id, WriterRow.expires_at > now, WriterRow.writer_id != besides
        )
        with self._transactions.reading() as connection:
            return connection.execute(statement.limit(1)).first() is not None

    def forget(self, expired_before: datetime) -> int:
        """Delete writers that expired before `expired_before`, and return their number."""
        statement = delete(WriterRow).where(WriterRow.expires_at < expired_before)
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount
