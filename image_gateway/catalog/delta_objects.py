"""Stores which objects deltas have besides commits: checkpoints, snapshots, and what is retired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from image_gateway.catalog.delta_models import (
    DeltaCommitRow,
    DeltaRow,
    DeltaSnapshotRow,
    RetiredObjectRow,
)
from image_gateway.catalog.delta_rows import (
    DELTA_COLUMNS,
    SNAPSHOT_COLUMNS,
    commit_row_of,
    delta_of,
    snapshot_of,
)
from image_gateway.catalog.deltas import stop_counting
from image_gateway.catalog.transaction import Transactions
from image_gateway.catalog.usage import add_stored
from image_gateway.domain.deltas import Commit, Delta, DeltaState, NamedObject, Snapshot
from image_gateway.domain.images import Quota

_IS_UNPURGED = text("purged_at IS NULL")
_IS_CHECKPOINTED = text("checkpointed")


class DeltaObjectRepository:
    """Stores checkpoints, snapshots and retired objects in SQL. Each method runs in one transaction.

    `stored_bytes` of a delta, and its owner's usage, count an object from its recording until it is deleted
    from the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._transactions = Transactions(engine)

    def set_checkpoint(
        self,
        delta: Delta,
        generation: int,
        checkpoint: NamedObject,
        live_bytes: int,
        retired: Iterable[NamedObject],
        now: datetime,
        *,
        written: Sequence[NamedObject] = (),
    ) -> bool:
        """Replace the checkpoint of a delta by one at `generation`, and retire what that needs no more.

        Return False, without any change, if the delta has another checkpoint than `delta` by now, or is
        deleted. `written` are segments that were made for it, to be counted.
        """
        statement = update(DeltaRow).where(
            DeltaRow.delta_id == delta.delta_id,
            DeltaRow.state == DeltaState.ACTIVE.value,
            DeltaRow.checkpoint.is_not_distinct_from(delta.checkpoint),
            DeltaRow.generation >= generation,
        )
        added = checkpoint.size + sum(item.size for item in written)
        values = {
            "checkpoint": checkpoint.name,
            "checkpoint_generation": generation,
            "checkpoint_size": checkpoint.size,
            "recent_extents": 0,
            "live_bytes": live_bytes,
            "stored_bytes": DeltaRow.stored_bytes + added,
        }
        with self._transactions.writing() as connection:
            if connection.execute(statement.values(**values)).rowcount != 1:
                return False
            _mark_checkpointed(connection, delta, generation)
            _retire(connection, retired, now)
            add_stored(connection, delta.owner, added, Quota())
            return True

    def reset(
        self,
        delta: Delta,
        commit: Commit,
        checkpoint: NamedObject,
        live_bytes: int,
        retired: Iterable[NamedObject],
        quota: Quota,
    ) -> bool:
        """Make a checkpoint with older contents the next generation, in a new epoch.

        Return False, without any change, if the delta is not at the generation of `delta` any more.
        """
        statement = update(DeltaRow).where(
            DeltaRow.delta_id == delta.delta_id,
            DeltaRow.state == DeltaState.ACTIVE.value,
            DeltaRow.generation == delta.generation,
            DeltaRow.checkpoint.is_not_distinct_from(delta.checkpoint),
        )
        values = {
            "generation": commit.generation,
            "epoch": DeltaRow.epoch + 1,
            "checkpoint": checkpoint.name,
            "checkpoint_generation": commit.generation,
            "checkpoint_size": checkpoint.size,
            "recent_extents": 0,
            "reset_generation": commit.generation,
            "live_bytes": live_bytes,
            "stored_bytes": DeltaRow.stored_bytes + checkpoint.size,
            "updated_at": commit.created_at,
        }
        with self._transactions.writing() as connection:
            if connection.execute(statement.values(**values)).rowcount != 1:
                return False
            connection.execute(insert(DeltaCommitRow).values(**commit_row_of(delta.delta_id, commit)))
            _mark_checkpointed(connection, delta, commit.generation)
            _retire(connection, retired, commit.created_at)
            add_stored(connection, delta.owner, checkpoint.size, quota)
            return True

    def add_snapshot(self, delta: Delta, snapshot: Snapshot, quota: Quota) -> bool:
        """Insert a snapshot and count its checkpoint. Return False if the delta is deleted."""
        statement = update(DeltaRow).where(
            DeltaRow.delta_id == delta.delta_id, DeltaRow.state == DeltaState.ACTIVE.value
        )
        with self._transactions.writing() as connection:
            stored = DeltaRow.stored_bytes + snapshot.size
            if connection.execute(statement.values(stored_bytes=stored)).rowcount != 1:
                return False
            values = {column.name: getattr(snapshot, column.name) for column in SNAPSHOT_COLUMNS}
            connection.execute(insert(DeltaSnapshotRow).values(**values))
            add_stored(connection, delta.owner, snapshot.size, quota)
            return True

    def snapshots(self, delta_id: str) -> Sequence[Snapshot]:
        """Return the snapshots of a delta, oldest first."""
        statement = select(*SNAPSHOT_COLUMNS).where(DeltaSnapshotRow.delta_id == delta_id)
        ordered = statement.order_by(DeltaSnapshotRow.created_at, DeltaSnapshotRow.snapshot_id)
        with self._transactions.reading() as connection:
            return [snapshot_of(row) for row in connection.execute(ordered)]

    def delete_snapshot(self, snapshot: Snapshot, now: datetime) -> bool:
        """Delete a snapshot and retire its checkpoint. Return False if it is deleted already.

        All retired objects of the image's deltas are dated anew: the snapshot had kept some of them, so that
        reads may need these for longer than thought.
        """
        statement = delete(DeltaSnapshotRow).where(DeltaSnapshotRow.snapshot_id == snapshot.snapshot_id)
        with self._transactions.writing() as connection:
            if connection.execute(statement).rowcount != 1:
                return False
            _retire(connection, [NamedObject(snapshot.delta_id, snapshot.checkpoint, snapshot.size)], now)
            _retire_again(connection, snapshot.delta_id, now)
            return True

    def images_with_deltas(self, *, after: str, limit: int) -> Sequence[str]:
        """Return ids of images with deltas that may have objects, ordered by id."""
        statement = select(DeltaRow.image_id).where(_IS_UNPURGED, DeltaRow.image_id > after).distinct()
        with self._transactions.reading() as connection:
            return list(connection.execute(statement.order_by(DeltaRow.image_id).limit(limit)).scalars())

    def deltas_of(self, image_id: str) -> Sequence[Delta]:
        """Return the deltas of an image that may have objects, deleted ones included."""
        statement = select(*DELTA_COLUMNS).where(DeltaRow.image_id == image_id, _IS_UNPURGED)
        with self._transactions.reading() as connection:
            return [delta_of(row) for row in connection.execute(statement.order_by(DeltaRow.delta_id))]

    def retired_objects(self, delta_id: str) -> Mapping[str, datetime]:
        """Return the names of a delta's retired objects, and since when they are."""
        statement = select(RetiredObjectRow.name, RetiredObjectRow.retired_at)
        with self._transactions.reading() as connection:
            rows = connection.execute(statement.where(RetiredObjectRow.delta_id == delta_id))
            return {row.name: row.retired_at for row in rows}

    def forget_objects(self, delta: Delta, names: Sequence[str]) -> None:
        """Stop counting retired objects that were deleted from the store; unknown names are ignored."""
        chosen = (RetiredObjectRow.delta_id == delta.delta_id, RetiredObjectRow.name.in_(names))
        with self._transactions.writing() as connection:
            # The delta before its objects, as everything that retires some does.
            connection.execute(
                select(DeltaRow.state).where(DeltaRow.delta_id == delta.delta_id).with_for_update()
            )
            sizes = connection.execute(_locked(*chosen)).scalars().all()
            connection.execute(delete(RetiredObjectRow).where(*chosen))
            stop_counting(connection, delta.delta_id, sum(sizes))

    def mark_purged(self, delta_id: str, now: datetime) -> None:
        """Record that a deleted delta has no objects left, and forget its commits and snapshots."""
        statement = update(DeltaRow).where(
            DeltaRow.delta_id == delta_id, DeltaRow.state == DeltaState.DELETED.value
        )
        with self._transactions.writing() as connection:
            if connection.execute(statement.values(purged_at=now)).rowcount != 1:
                return
            stop_counting(connection, delta_id)
            for rows in (DeltaCommitRow, DeltaSnapshotRow, RetiredObjectRow):
                connection.execute(delete(rows).where(rows.delta_id == delta_id))

    def count_old_commits(self, made_before: datetime) -> int:
        """Return how many commits `forget_commits` would delete."""
        statement = select(func.count()).select_from(DeltaCommitRow).where(_is_old(made_before))
        with self._transactions.reading() as connection:
            return connection.execute(statement).scalar() or 0

    def forget_commits(self, made_before: datetime, *, limit: int) -> int:
        """Delete up to `limit` commits before a time that a checkpoint has, and return their number."""
        old = select(DeltaCommitRow.delta_id, DeltaCommitRow.generation).where(_is_old(made_before))
        with self._transactions.writing() as connection:
            chosen = connection.execute(old.order_by(DeltaCommitRow.created_at).limit(limit)).all()
            forgotten = 0
            for delta_id, generation in chosen:
                one = delete(DeltaCommitRow).where(
                    DeltaCommitRow.delta_id == delta_id, DeltaCommitRow.generation == generation
                )
                forgotten += connection.execute(one).rowcount
            return forgotten


def _mark_checkpointed(connection: Connection, delta: Delta, generation: int) -> None:
    """Mark the commits that a new checkpoint has, and the one that `delta` has does not."""
    statement = update(DeltaCommitRow).where(
        DeltaCommitRow.delta_id == delta.delta_id,
        DeltaCommitRow.generation > delta.checkpoint_generation,
        DeltaCommitRow.generation <= generation,
    )
    connection.execute(statement.values(checkpointed=True))


def _is_old(made_before: datetime) -> ColumnElement[bool]:
    """Return the condition that a commit is from before a time, and that a checkpoint has it."""
    return and_(_IS_CHECKPOINTED, DeltaCommitRow.created_at < made_before)


def _retire_again(connection: Connection, delta_id: str, now: datetime) -> None:
    image = select(DeltaRow.image_id).where(DeltaRow.delta_id == delta_id).scalar_subquery()
    deltas = select(DeltaRow.delta_id).where(DeltaRow.image_id == image, _IS_UNPURGED)
    chosen = RetiredObjectRow.delta_id.in_(deltas)
    connection.execute(_locked(chosen))
    connection.execute(update(RetiredObjectRow).where(chosen).values(retired_at=now))


def _locked(*chosen: ColumnElement[bool]) -> Select[int]:
    """Return a SELECT of the sizes of retired objects that locks them, for all transactions in one order."""
    in_order = select(RetiredObjectRow.size).order_by(RetiredObjectRow.delta_id, RetiredObjectRow.name)
    return in_order.where(*chosen).with_for_update()


def _retire(connection: Connection, objects: Iterable[NamedObject], now: datetime) -> None:
    in_order = sorted(objects, key=lambda item: (item.delta_id, item.name))
    values = [
        {"delta_id": item.delta_id, "name": item.name, "size": item.size, "retired_at": now}
        for item in in_order
    ]
    if not values:
        return
    to_insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = to_insert(RetiredObjectRow)
    renewed = statement.on_conflict_do_update(
        index_elements=["delta_id", "name"], set_={"retired_at": statement.excluded.retired_at}
    )
    connection.execute(renewed, values)
