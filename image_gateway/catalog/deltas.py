"""Stores deltas and their commits in the catalog. The row of a delta is its fence (ADR 31)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Update,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from image_gateway.catalog import image_rows
from image_gateway.catalog.delta_models import DeltaCommitRow, DeltaRow
from image_gateway.catalog.delta_rows import (
    COMMIT_COLUMNS,
    DELTA_COLUMNS,
    commit_of,
    commit_row_of,
    delta_of,
    row_of,
)
from image_gateway.catalog.prepared import PreparedSelects
from image_gateway.catalog.transaction import Transactions
from image_gateway.catalog.usage import add_stored
from image_gateway.domain.deltas import Commit, Delta, DeltaState
from image_gateway.domain.images import ImageState, Quota

_COMMITS = DeltaCommitRow.__table__.columns
_FIND = select(*DELTA_COLUMNS).where(DELTA_COLUMNS.delta_id == bindparam("delta_id"))
_FIND_COMMIT = select(*COMMIT_COLUMNS).where(
    _COMMITS.delta_id == bindparam("delta_id"), _COMMITS.idempotency_key == bindparam("key")
)
_FIND_COMMITS = (
    select(*COMMIT_COLUMNS)
    .where(
        _COMMITS.delta_id == bindparam("delta_id"),
        _COMMITS.generation > bindparam("after"),
        _COMMITS.generation <= bindparam("upto"),
    )
    .order_by(_COMMITS.generation)
)
_IS_ACTIVE = text("state = 'active'")
# Built once: building and compiling them takes longer than SQLite takes to run them.
_COMMIT = (
    update(DeltaRow)
    .where(
        DELTA_COLUMNS.delta_id == bindparam("of_delta"),
        DELTA_COLUMNS.state == DeltaState.ACTIVE.value,
        DELTA_COLUMNS.generation == bindparam("before"),
        DELTA_COLUMNS.epoch == bindparam("in_epoch"),
    )
    .values(
        updated_at=bindparam("now"),
        generation=bindparam("after"),
        stored_bytes=DELTA_COLUMNS.stored_bytes + bindparam("stored"),
        live_bytes=DELTA_COLUMNS.live_bytes + bindparam("live"),
        recent_extents=DELTA_COLUMNS.recent_extents + bindparam("extents"),
    )
)
_ADD_COMMIT = insert(DeltaCommitRow)


class DeltaRepository:
    """Stores deltas in SQL. Each method runs in one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)
        self._prepared = PreparedSelects(engine)

    def add(self, delta: Delta, quota: Quota) -> bool:
        """Insert a delta and count its bytes. Return False if its image is not complete at its version.

        A fork also needs its parent to be active. QuotaExceeded changes nothing.
        """
        with self._transactions.writing() as connection:
            # The lock on the image lets its deletion either see the delta or be seen here.
            image = image_rows.find_and_lock(connection, delta.image_id)
            if image is None or image.state != ImageState.COMPLETE.value or image.version != delta.version:
                return False
            if delta.parent is not None and not _lock_active(connection, delta.parent.delta_id):
                return False
            connection.execute(insert(DeltaRow).values(**row_of(delta)))
            add_stored(connection, delta.owner, delta.stored_bytes, quota)
            return True

    def find(self, delta_id: str) -> Delta | None:
        """Return the delta, also a deleted one, or None."""
        row = self._prepared.first(_FIND, {"delta_id": delta_id})
        return delta_of(row) if row else None

    def list(
        self,
        owner: str,
        *,
        limit: int,
        image_id: str | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Delta]:
        """Return a user's active deltas, newest first, after the cursor (created at, id)."""
        statement = select(*DELTA_COLUMNS).where(_IS_ACTIVE, DeltaRow.owner == owner)
        if image_id is not None:
            statement = statement.where(DeltaRow.image_id == image_id)
        if after is not None:
            created_at, delta_id = after
            same_moment = and_(DeltaRow.created_at == created_at, DeltaRow.delta_id < delta_id)
            statement = statement.where(
                DeltaRow.created_at <= created_at, or_(DeltaRow.created_at < created_at, same_moment)
            )
        newest_first = statement.order_by(DeltaRow.created_at.desc(), DeltaRow.delta_id.desc())
        with self._transactions.reading() as connection:
            return [delta_of(row) for row in connection.execute(newest_first.limit(limit))]

    def find_active(self, image_id: str, *, limit: int) -> Sequence[Delta]:
        """Return active deltas of an image, of any owner."""
        statement = select(*DELTA_COLUMNS).where(_active_of(image_id))
        with self._transactions.reading() as connection:
            ordered = statement.order_by(DeltaRow.owner, DeltaRow.created_at, DeltaRow.delta_id)
            return [delta_of(row) for row in connection.execute(ordered.limit(limit))]

    def count_active(self, image_id: str) -> int:
        """Return how many active deltas an image has, of all owners."""
        statement = select(func.count()).select_from(DeltaRow).where(_active_of(image_id))
        with self._transactions.reading() as connection:
            return connection.execute(statement).scalar() or 0

    def rename(self, delta_id: str, name: str, now: datetime, *, generation: int | None) -> bool:
        """Change the name. Return False if the delta is deleted or at another generation."""
        return self._changes(_update(delta_id, now, generation).values(name=name))

    def begin_session(self, delta_id: str, now: datetime) -> Delta | None:
        """Raise the epoch, which fences all older sessions; return the delta then, None if it is deleted."""
        statement = _update(delta_id, now, None).values(epoch=DeltaRow.epoch + 1)
        with self._transactions.writing() as connection:
            if connection.execute(statement).rowcount != 1:
                return None
            return delta_of(connection.execute(select(*DELTA_COLUMNS).where(_is(delta_id))).one())

    def commit(self, delta: Delta, commit: Commit, quota: Quota) -> bool:
        """Make a segment in the store the next generation, and count its bytes.

        Return False, without any change, if the delta is in another epoch, not at the generation before, or
        deleted, or has a commit with this idempotency key. QuotaExceeded changes nothing either.
        """
        changes = {
            "of_delta": delta.delta_id,
            "before": commit.generation - 1,
            "in_epoch": commit.epoch,
            "now": commit.created_at,
            "after": commit.generation,
            "stored": commit.size,
            "live": commit.data_bytes,
            "extents": commit.extents,
        }
        try:
            with self._transactions.writing() as connection:
                if connection.execute(_COMMIT, changes).rowcount != 1:
                    return False
                connection.execute(_ADD_COMMIT, commit_row_of(delta.delta_id, commit))
                add_stored(connection, delta.owner, commit.size, quota)
        except IntegrityError:
            return False
        return True

    def find_commit(self, delta_id: str, key: str) -> Commit | None:
        """Return the commit with this idempotency key, or None."""
        row = self._prepared.first(_FIND_COMMIT, {"delta_id": delta_id, "key": key})
        return commit_of(row) if row else None

    def find_commits(self, delta_id: str, *, after: int, upto: int) -> Sequence[Commit]:
        """Return the commits of the generations behind `after` up to `upto`, ascending."""
        values = {"delta_id": delta_id, "after": after, "upto": upto}
        return [commit_of(row) for row in self._prepared.all(_FIND_COMMITS, values)]

    def log(self, delta_id: str, *, before: int | None, limit: int) -> Sequence[Commit]:
        """Return the newest commits before a generation, newest first; forgotten ones are left out."""
        statement = select(*COMMIT_COLUMNS).where(DeltaCommitRow.delta_id == delta_id)
        if before is not None:
            statement = statement.where(DeltaCommitRow.generation < before)
        newest_first = statement.order_by(DeltaCommitRow.generation.desc()).limit(limit)
        with self._transactions.reading() as connection:
            return [commit_of(row) for row in connection.execute(newest_first)]

    def delete(
        self, delta_id: str, now: datetime, *, generation: int | None = None, with_image: bool = False
    ) -> bool:
        """Delete a delta and stop counting its bytes. Return False if deleted or at another generation.

        While the image has forks, which may need its objects, they are counted until they are deleted, unless
        the delta is deleted `with_image`.
        """
        statement = _update(delta_id, now, generation).values(state=DeltaState.DELETED.value)
        with self._transactions.writing() as connection:
            if connection.execute(statement).rowcount != 1:
                return False
            image_id = select(DeltaRow.image_id).where(_is(delta_id)).scalar_subquery()
            forks = select(DeltaRow.delta_id).where(DeltaRow.image_id == image_id, _IS_ACTIVE)
            forked = connection.execute(forks.where(DeltaRow.parent_id.is_not(None)).limit(1)).first()
            if with_image or forked is None:
                stop_counting(connection, delta_id)
            return True

    def _changes(self, statement: Update) -> bool:
        with self._transactions.writing() as connection:
            return connection.execute(statement).rowcount == 1


def stop_counting(connection: Connection, delta_id: str, size: int | None = None) -> None:
    """Count `size` bytes of a delta no longer, or none of them, for it and its owner."""
    counted = select(DeltaRow.owner, DeltaRow.stored_bytes).where(_is(delta_id)).with_for_update()
    owner, stored = connection.execute(counted).one()
    released = stored if size is None else min(size, stored)
    left = {"stored_bytes": DeltaRow.stored_bytes - released}
    connection.execute(update(DeltaRow).where(_is(delta_id)).values(**left))
    add_stored(connection, owner, -released, Quota())


def has_active(image_id: str) -> ColumnElement[bool]:
    """Return the condition that an image has active deltas."""
    # By an alias: the condition stands in statements about images, which have a state too.
    deltas = DeltaRow.__table__.alias("d")
    return select(deltas.c.delta_id).where(deltas.c.image_id == image_id, text("d.state = 'active'")).exists()


def _active_of(image_id: str) -> ColumnElement[bool]:
    return and_(DeltaRow.image_id == image_id, _IS_ACTIVE)


def _is(delta_id: str) -> Any:
    return DeltaRow.delta_id == delta_id


def _update(delta_id: str, now: datetime, generation: int | None) -> Update:
    """Return an UPDATE of an active delta, only at `generation` if that is given."""
    statement = update(DeltaRow).where(_is(delta_id), DeltaRow.state == DeltaState.ACTIVE.value)
    if generation is not None:
        statement = statement.where(DeltaRow.generation == generation)
    return statement.values(updated_at=now)


def _lock_active(connection: Connection, delta_id: str) -> bool:
    statement = select(DeltaRow.state).where(_is(delta_id)).with_for_update()
    return connection.execute(statement).scalar() == DeltaState.ACTIVE.value
