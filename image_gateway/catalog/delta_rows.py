"""Maps rows of deltas to domain records, and back."""

from __future__ import annotations

from typing import Any

from image_gateway.catalog.delta_models import DeltaCommitRow, DeltaRow, DeltaSnapshotRow
from image_gateway.domain.deltas import Commit, CommitKind, Delta, DeltaState, Parent, Snapshot

DELTA_COLUMNS = DeltaRow.__table__.columns
_COMMIT_COLUMNS = DeltaCommitRow.__table__.columns
COMMIT_COLUMNS = [column for column in _COMMIT_COLUMNS if column.name not in ("delta_id", "checkpointed")]
SNAPSHOT_COLUMNS = DeltaSnapshotRow.__table__.columns
_NAMES = [column.name for column in DELTA_COLUMNS]
_PLAIN = [name for name in _NAMES if name not in ("state", "parent_id", "parent_generation")]


def row_of(delta: Delta) -> dict[str, Any]:
    """Return the column values of a delta."""
    parent = delta.parent
    return {
        **{name: getattr(delta, name) for name in _PLAIN},
        "state": delta.state.value,
        "parent_id": parent.delta_id if parent else None,
        "parent_generation": parent.generation if parent else None,
    }


def delta_of(row: Any) -> Delta:
    """Return the delta in a row that has all columns in the table's order."""
    values = dict(zip(_NAMES, row, strict=True))
    parent_id, generation = values.pop("parent_id"), values.pop("parent_generation")
    parent = Parent(parent_id, generation) if parent_id is not None else None
    return Delta(**values | {"state": DeltaState(values["state"]), "parent": parent})


def commit_row_of(delta_id: str, commit: Commit) -> dict[str, Any]:
    """Return the column values of a commit."""
    values = {column.name: getattr(commit, column.name) for column in COMMIT_COLUMNS}
    return {**values, "delta_id": delta_id, "kind": commit.kind.value}


def commit_of(row: Any) -> Commit:
    """Return the commit in a row of COMMIT_COLUMNS."""
    values = {column.name: value for column, value in zip(COMMIT_COLUMNS, row, strict=True)}
    return Commit(**values | {"kind": CommitKind(values["kind"])})


def snapshot_of(row: Any) -> Snapshot:
    """Return the snapshot in a row that has all columns in the table's order."""
    return Snapshot(**dict(zip(SNAPSHOT_COLUMNS.keys(), row, strict=True)))
