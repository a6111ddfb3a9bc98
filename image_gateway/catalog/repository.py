"""The catalog's verbs: add, find, and state changes by compare-and-set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, insert, select, update
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError as PoolTimeout

from image_gateway.catalog.models import ImageRow
from image_gateway.catalog.records import ChunkedFacts, DiskFacts, ImageRecord, ImageState
from image_gateway.errors import CatalogUnavailable

_log = logging.getLogger(__name__)
_IMAGES = ImageRow.__table__
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
            connection.execute(insert(_IMAGES).values(state=record.state.value, **values))

    def find(self, image_id: str) -> ImageRecord | None:
        """Return the image's record, or None."""
        with self._transaction() as connection:
            row = connection.execute(select(_IMAGES).where(ImageRow.image_id == image_id)).mappings().first()
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

    def publish(self, image_id: str, version: str, chunked: ChunkedFacts) -> bool:
        """Note the chunked version of a complete image; False when it is noted already or not complete."""
        statement = (
            update(ImageRow)
            .where(ImageRow.image_id == image_id, ImageRow.version == version)
            .where(ImageRow.state == ImageState.COMPLETE.value, ImageRow.chunked_chunk_size.is_(None))
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
    chunked = _facts(ChunkedFacts, "chunked_", row) if row["chunked_chunk_size"] is not None else None
    plain = {name: row[name] for name in _PLAIN}
    return ImageRecord(state=ImageState(row["state"]), disk=disk, chunked=chunked, **plain)


def _facts(kind: type[_Facts], prefix: str, row: dict[str, Any]) -> _Facts:
    return kind(**{field.name: row[prefix + field.name] for field in fields(kind)})
