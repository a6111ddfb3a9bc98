"""Stores boot traces in the catalog: which blocks a boot of an image reads, in order."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Engine, bindparam, delete, insert, select

from image_gateway.catalog.models import BootTraceRow, ImageRow
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.transaction import Transactions
from image_gateway.domain.images import ImageState
from image_gateway.protocol.boot_trace import BadTrace, BootTrace

_log = logging.getLogger(__name__)
_COLUMNS = BootTraceRow.__table__.columns
_FIND = select(_COLUMNS.blocks).where(
    _COLUMNS.image_id == bindparam("image_id"), _COLUMNS.version == bindparam("version")
)


class BootTraceRepository:
    """Stores at most one trace for each image. Each method runs in one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)
        self._prepared = PreparedSelects(engine)

    def replace(self, image_id: str, version: str, trace: BootTrace, now: datetime) -> bool:
        """Store the image's trace in place of an earlier one.

        Returns False if this version of the image is not complete. The image's row is locked, so that the
        trace of an image that is deleted at the same time is removed with it.
        """
        is_complete = select(ImageRow.image_id).where(
            ImageRow.image_id == image_id,
            ImageRow.version == version,
            ImageRow.state == ImageState.COMPLETE.value,
        )
        values = {"image_id": image_id, "version": version, "blocks": trace.as_text(), "created_at": now}
        with self._transactions.writing() as connection:
            if connection.execute(is_complete.with_for_update()).first() is None:
                return False
            connection.execute(delete(BootTraceRow).where(BootTraceRow.image_id == image_id))
            connection.execute(insert(BootTraceRow).values(**values))
            return True

    def find(self, image_id: str, version: str) -> BootTrace | None:
        """Return the trace of a version of an image, or None; None also for a row that is damaged."""
        row = self._prepared.first(_FIND, {"image_id": image_id, "version": version})
        if row is None:
            return None
        try:
            return BootTrace.of_text(row[0])
        except BadTrace as error:
            _log.error("the boot trace of image %s is invalid: %s", image_id, error)
            return None

    def delete(self, image_id: str) -> bool:
        """Remove the image's trace. Return False if there is none."""
        with self._transactions.writing() as connection:
            statement = delete(BootTraceRow).where(BootTraceRow.image_id == image_id)
            return connection.execute(statement).rowcount == 1
