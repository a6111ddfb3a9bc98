"""The catalog's verbs: add, find, and state changes by compare-and-set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, insert, select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from image_gateway.catalog.models import ImageRow
from image_gateway.catalog.records import ChunkedFacts, DiskFacts, ImageRecord, ImageState
from image_gateway.errors import CatalogUnavailable

_log = logging.getLogger(__name__)
_Facts = TypeVar("_Facts", DiskFacts, ChunkedFacts)
_PLAIN = [field.name for field in fields(ImageRecord) if field.name not in ("disk", "chunked", "state")]


class Catalog:
    """Image records in SQL. A database that cannot be used is CatalogUnavailable.

    Each call is one short transaction: no connection is held when it returns.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, record: ImageRecord) -> None:
        """Insert a new image that is being uploaded."""
        values = {name: getattr(record, name) for name in _PLAIN}
        with self._transaction() as connection:
            connection.execute(insert(ImageRow).values(state=record.state.value, **values))

    def find(self, image_id: str) -> ImageRecord | None:
        """Return the image's record, or None."""
        with self._transaction() as connection:
            row = (
                connection.execute(select(*ImageRow.__table__.columns).where(ImageRow.image_id == image_id))
                .mappings()
                .first()
            )
        return _record(dict(row)) if row else None

    def complete(self, image_id: str, upload_id: str, disk: DiskFacts) -> bool:
        """Move `uploading → complete`; False when the image was not uploading by this upload id."""
        statement = (
            update(ImageRow)
            .where(ImageRow.image_id == image_id, ImageRow.upload_id == upload_id)
            .where(ImageRow.state == ImageState.UPLOADING.value)
            .values(state=ImageState.COMPLETE.value, **_prefixed("disk_", disk))
        )
        return self._changes_one(statement)

    def claim_chunk_size(self, image_id: str, chunk_size: int) -> int | None:
        """Fix how a complete image is cut, before its first chunk is written.

        The first caller wins: returns the size that holds from now on, None when the image is not complete.
        Chunks of two sizes would have the same keys, so the size can never change.
        """
        statement = (
            update(ImageRow)
            .where(ImageRow.image_id == image_id, ImageRow.state == ImageState.COMPLETE.value)
            .where(ImageRow.chunked_chunk_size.is_(None))
            .values(chunked_chunk_size=chunk_size)
        )
        with self._transaction() as connection:
            connection.execute(statement)
            claimed = select(ImageRow.chunked_chunk_size).where(ImageRow.image_id == image_id)
            return connection.execute(claimed).scalar()

    def publish(self, image_id: str, chunked: ChunkedFacts) -> bool:
        """Note that all chunks and the manifest are written; False unless their size is the claimed one.

        Noting it again is harmless: the bytes are the same, the date is that of the newest manifest.
        """
        statement = (
            update(ImageRow)
            .where(ImageRow.image_id == image_id, ImageRow.state == ImageState.COMPLETE.value)
            .where(ImageRow.chunked_chunk_size == chunked.chunk_size)
            .values(**_prefixed("chunked_", chunked))
        )
        return self._changes_one(statement)

    def check_reachable(self) -> None:
        """Return when the database answers."""
        with self._transaction() as connection:
            connection.execute(select(1))

    def _changes_one(self, statement: Any) -> bool:
        with self._transaction() as connection:
            result: CursorResult[Any] = connection.execute(statement)
            return result.rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            _log.error("the catalog cannot be used: %s", type(error).__name__)
            raise CatalogUnavailable("the catalog of images does not answer; try again") from error


def _prefixed(prefix: str, facts: DiskFacts | ChunkedFacts) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in asdict(facts).items()}


def _record(row: dict[str, Any]) -> ImageRecord:
    disk = _facts(DiskFacts, "disk_", row) if row["disk_size"] is not None else None
    chunked = _facts(ChunkedFacts, "chunked_", row) if row["chunked_published_at"] is not None else None
    plain = {name: row[name] for name in _PLAIN}
    return ImageRecord(state=ImageState(row["state"]), disk=disk, chunked=chunked, **plain)


def _facts(kind: type[_Facts], prefix: str, row: dict[str, Any]) -> _Facts:
    return kind(**{field.name: row[prefix + field.name] for field in fields(kind)})
