"""Stores image records in the catalog; state changes are compare-and-set updates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Engine,
    Select,
    Update,
    and_,
    bindparam,
    insert,
    or_,
    select,
    text,
    update,
)

from image_gateway.catalog import image_rows
from image_gateway.catalog.audit_entries import AuditRepository
from image_gateway.catalog.boot_traces import BootTraceRepository
from image_gateway.catalog.delta_objects import DeltaObjectRepository
from image_gateway.catalog.deltas import DeltaRepository, has_active
from image_gateway.catalog.image_lists import list_statement, list_values
from image_gateway.catalog.image_rows import change_state, update_image
from image_gateway.catalog.jobs import JobRepository
from image_gateway.catalog.leases import LeaseRepository
from image_gateway.catalog.mapping import columns_of, record_of, row_of
from image_gateway.catalog.models import ImageRow
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.properties import PropertyRepository
from image_gateway.catalog.sessions import SessionRepository
from image_gateway.catalog.shares import ShareRepository
from image_gateway.catalog.transaction import Transactions
from image_gateway.catalog.usage import count_open, read_usage, reserve
from image_gateway.catalog.writers import WriterRepository
from image_gateway.domain.images import (
    ChunkedFacts,
    DiskFacts,
    ImageRecord,
    ImageState,
    ListQuery,
    Quota,
    Usage,
    Visibility,
)

_COLUMNS = ImageRow.__table__.columns
_FIND = select(*_COLUMNS).where(_COLUMNS.image_id == bindparam("image_id"))


class Catalog:
    """Stores image records and their owners' usage in SQL. Raises CatalogUnavailable for database errors.

    Each method runs in one short transaction and holds no connection when it returns. `shares` and `leases`
    store who else has access, `writers` who may write an image's objects now, `jobs` background jobs,
    `boot_traces` what boots read, `sessions` browsers, `audit_entries` events, `properties` its own,
    `deltas` and `delta_objects` what guests wrote.
    """

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)
        self._prepared = PreparedSelects(engine)
        self.shares = ShareRepository(engine)
        self.leases = LeaseRepository(engine)
        self.writers = WriterRepository(engine)
        self.jobs = JobRepository(engine)
        self.boot_traces = BootTraceRepository(engine)
        self.sessions = SessionRepository(engine)
        self.audit_entries = AuditRepository(engine)
        self.properties = PropertyRepository(engine)
        self.deltas = DeltaRepository(engine)
        self.delta_objects = DeltaObjectRepository(engine)

    def check_reachable(self) -> None:
        """Raise CatalogUnavailable unless the database answers and has the tables."""
        with self._transactions.reading() as connection:
            # By the index: PostgreSQL may have to skip many dead rows at the start of the table.
            connection.execute(select(ImageRow.image_id).order_by(ImageRow.image_id).limit(1))

    def add(self, record: ImageRecord, quota: Quota) -> None:
        """Insert a new image and count it. Raises QuotaExceeded, without any change, if over a limit."""
        with self._transactions.writing() as connection:
            reserve(connection, record.owner, record.reserved_bytes, quota)
            connection.execute(insert(ImageRow).values(**row_of(record)))

    def find(self, image_id: str) -> ImageRecord | None:
        """Return the image's record, or None."""
        row = self._prepared.first(_FIND, {"image_id": image_id})
        return record_of(row) if row else None

    def find_many(self, image_ids: Collection[str]) -> Mapping[str, ImageRecord]:
        """Return the records of the given images by id; unknown ids are left out."""
        found = self._page(select(*_COLUMNS).where(ImageRow.image_id.in_(image_ids)))
        return {record.image_id: record for record in found}

    def list(self, query: ListQuery) -> Sequence[ImageRecord]:
        """Return one page of a user's images, newest first; deleted ones only if `query.state` says so."""
        return [record_of(row) for row in self._prepared.all(list_statement(query), list_values(query))]

    def usage(self, owner: str) -> Usage:
        """Return an owner's usage."""
        with self._transactions.reading() as connection:
            return read_usage(connection, owner)

    def open_uploads(self) -> tuple[int, int]:
        """Return the number of open uploads and the bytes that they reserve."""
        with self._transactions.reading() as connection:
            return count_open(connection)

    def describe(
        self,
        image_id: str,
        *,
        name: str | None,
        visibility: Visibility | None,
        revision: int | None,
        now: datetime,
    ) -> bool:
        """Change name or visibility. Return False if the image is deleted or at another revision."""
        changes = {"name": name, "visibility": visibility.value if visibility else None}
        statement = update_image(image_id, now, revision).where(ImageRow.state != ImageState.DELETED.value)
        given = {column: value for column, value in changes.items() if value is not None}
        return self._updates_one_row(statement.values(**given))

    def prolong_upload(self, image_id: str, expires_at: datetime) -> None:
        """Set the time at which an open upload expires."""
        statement = update(ImageRow).where(
            ImageRow.image_id == image_id, ImageRow.state == ImageState.UPLOADING.value
        )
        self._updates_one_row(statement.values(upload_expires_at=expires_at))

    def settle(
        self, image_id: str, size: int, quota: Quota, state: ImageState = ImageState.UPLOADING
    ) -> bool:
        """Count an image by its real size. Return False if not in `state`; QuotaExceeded changes nothing."""
        with self._transactions.writing() as connection:
            return image_rows.settle(connection, image_id, state, size, quota)

    def declare_sha256(self, image_id: str, upload_id: str, sha256: str, now: datetime) -> bool:
        """Record the SHA-256 of an open upload. Return False if it is not open, or has one."""
        return self._updates_one_row(image_rows.declare_sha256(image_id, upload_id, sha256, now))

    def complete(
        self, image_id: str, upload_id: str, disk: DiskFacts, now: datetime, *, sha256: str | None = None
    ) -> bool:
        """Move to `complete` and count the disk's size.

        Return False if no upload with this id is open, or its declared SHA-256 is not `sha256`.
        """
        with self._transactions.writing() as connection:
            return image_rows.complete_upload(connection, image_id, upload_id, sha256, disk, now)

    def fail(
        self, image_id: str, upload_id: str, now: datetime, *, expired_by: datetime | None = None
    ) -> bool:
        """Move an open upload to `failed` and release its usage. Return False if not open or not expired."""
        statement = change_state(image_id, ImageState.FAILED, now)
        is_open = ImageRow.state == ImageState.UPLOADING.value
        statement = statement.where(is_open, ImageRow.upload_id == upload_id)
        if expired_by is not None:
            statement = statement.where(ImageRow.upload_expires_at <= expired_by)
        return self._end(image_id, statement)

    def delete(self, image_id: str, now: datetime, *, revision: int | None = None) -> bool:
        """Move to `deleted` and release its usage.

        Return False if it is already deleted, at another revision, or has active deltas.
        """
        statement = change_state(image_id, ImageState.DELETED, now).where(~has_active(image_id))
        if revision is not None:
            statement = statement.where(ImageRow.revision == revision)
        return self._end(image_id, statement.values(purged_at=None))

    def mark_purged(self, image_id: str, now: datetime) -> None:
        """Record that a failed or deleted image has no objects left in the store."""
        ended = (ImageState.FAILED.value, ImageState.DELETED.value)
        statement = update(ImageRow).where(ImageRow.image_id == image_id, ImageRow.state.in_(ended))
        self._updates_one_row(statement.values(purged_at=now))

    def forget_source(self, image_id: str) -> None:
        """Record that the source of a complete image is no longer stored."""
        none = {"source_size": None, "source_etag": None, "source_last_modified": None}
        statement = update(ImageRow).where(
            ImageRow.image_id == image_id, ImageRow.state == ImageState.COMPLETE.value
        )
        self._updates_one_row(statement.values(**none))

    def claim_chunk_size(self, image_id: str, chunk_size: int) -> int | None:
        """Set the chunk size of a complete image before its first chunk is written.

        The first caller wins, and the size never changes, since chunks of different sizes would have the same
        keys. Return the effective chunk size, or None if the image is not complete.
        """
        statement = (
            update(ImageRow)
            .where(ImageRow.image_id == image_id, ImageRow.state == ImageState.COMPLETE.value)
            .where(ImageRow.chunked_chunk_size.is_(None))
            .values(chunked_chunk_size=chunk_size)
        )
        with self._transactions.writing() as connection:
            connection.execute(statement)
            claimed = select(ImageRow.chunked_chunk_size).where(ImageRow.image_id == image_id)
            return connection.execute(claimed).scalar()

    def publish(self, image_id: str, chunked: ChunkedFacts, now: datetime) -> bool:
        """Record that all chunks and the manifest are written. Return False unless the chunk size matches.

        Publishing again is safe: the bytes are the same, and the date is that of the newest manifest.
        """
        statement = (
            update_image(image_id, now)
            .where(ImageRow.state == ImageState.COMPLETE.value)
            .where(ImageRow.chunked_chunk_size == chunked.chunk_size)
        )
        return self._updates_one_row(statement.values(**columns_of(chunked)))

    def set_zero_map(self, image_id: str, version: str, size: int | None) -> bool:
        """Record the size in bytes of the zero map's object, or None. Return False if the image is deleted.

        The revision stays: clients do not see it.
        """
        statement = update(ImageRow).where(ImageRow.image_id == image_id, ImageRow.version == version)
        statement = statement.where(ImageRow.state != ImageState.DELETED.value)
        return self._updates_one_row(statement.values(zero_map_bytes=size))

    def find_expired(
        self, moment: datetime, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ImageRecord]:
        """Return open uploads that expired by `moment`, oldest first, after the cursor (expiry, image id)."""
        statement = select(*_COLUMNS).where(text("state = 'uploading'"), ImageRow.upload_expires_at <= moment)
        if after:
            expires_at, image_id = after
            same_moment = and_(ImageRow.upload_expires_at == expires_at, ImageRow.image_id > image_id)
            later = or_(ImageRow.upload_expires_at > expires_at, same_moment)
            statement = statement.where(ImageRow.upload_expires_at >= expires_at, later)
        return self._page(statement.order_by(ImageRow.upload_expires_at, ImageRow.image_id).limit(limit))

    def find_unpurged(self, *, after: str, limit: int) -> Sequence[ImageRecord]:
        """Return failed and deleted images that may have objects left in the store, ordered by id."""
        ended = text("state IN ('failed', 'deleted') AND purged_at IS NULL")
        statement = select(*_COLUMNS).where(ended, ImageRow.image_id > after)
        return self._page(statement.order_by(ImageRow.image_id).limit(limit))

    def find_complete(self, *, after: str, limit: int) -> Sequence[ImageRecord]:
        """Return complete images, ordered by id."""
        statement = select(*_COLUMNS).where(text("state = 'complete'"), ImageRow.image_id > after)
        return self._page(statement.order_by(ImageRow.image_id).limit(limit))

    def _page(self, statement: Select[Any]) -> Sequence[ImageRecord]:
        with self._transactions.reading() as connection:
            rows = connection.execute(statement).all()
        return [record_of(row) for row in rows]

    def _end(self, image_id: str, statement: Update) -> bool:
        with self._transactions.writing() as connection:
            return image_rows.end_and_release(connection, image_id, statement)

    def _updates_one_row(self, statement: Update) -> bool:
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount == 1
