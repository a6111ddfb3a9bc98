"""The catalog's tables of deltas as SQLAlchemy models."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Index, Integer, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from image_gateway.catalog.column_types import UtcDateTime
from image_gateway.catalog.models import Base, partial_index

_ACTIVE_DELTA = text("state = 'active'")
_UNPURGED_DELTA = text("purged_at IS NULL")
_CHECKPOINTED = text("checkpointed")


class DeltaRow(Base):
    """A delta. Its row is the fence: a commit counts when this row has its generation."""

    __tablename__ = "deltas"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'deleted')", name="state"),
        # For lists of an owner's deltas, newest first.
        partial_index("ix_deltas_listed", "owner", "created_at", "delta_id", where=_ACTIVE_DELTA),
        # For lists of an owner's deltas of one image, and for what asks whether an image has deltas.
        partial_index(
            "ix_deltas_of_image", "image_id", "owner", "created_at", "delta_id", where=_ACTIVE_DELTA
        ),
        # For the sweeper.
        partial_index("ix_deltas_unpurged", "image_id", "delta_id", where=_UNPURGED_DELTA),
    )

    delta_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(36))
    version: Mapped[str] = mapped_column(String(64))
    disk_size: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(String(256))
    name: Mapped[str] = mapped_column(String(255))
    block_size: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    generation: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    live_bytes: Mapped[int] = mapped_column(BigInteger)
    stored_bytes: Mapped[int] = mapped_column(BigInteger)
    parent_id: Mapped[str | None] = mapped_column(String(36))
    parent_generation: Mapped[int | None] = mapped_column(BigInteger)
    checkpoint: Mapped[str | None] = mapped_column(String(128))
    checkpoint_generation: Mapped[int] = mapped_column(BigInteger)
    checkpoint_size: Mapped[int] = mapped_column(BigInteger)
    recent_extents: Mapped[int] = mapped_column(BigInteger)
    reset_generation: Mapped[int] = mapped_column(BigInteger)
    purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DeltaCommitRow(Base):
    """What made one generation of a delta; kept until a checkpoint has it, and a day for lost answers.

    Commits that no checkpoint has may stay for ever. The sweeper does not pass over them: its index has only
    those that are `checkpointed`.
    """

    __tablename__ = "delta_commits"
    __table_args__ = (
        Index("uq_delta_commits_key", "delta_id", "idempotency_key", unique=True),
        # For the sweeper.
        partial_index(
            "ix_delta_commits_checkpointed", "created_at", "delta_id", "generation", where=_CHECKPOINTED
        ),
    )

    delta_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    size: Mapped[int] = mapped_column(BigInteger)
    etag: Mapped[str] = mapped_column(String(256))
    extents: Mapped[int] = mapped_column(Integer)
    blocks: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    checkpointed: Mapped[bool] = mapped_column(Boolean, server_default=false())


class DeltaSnapshotRow(Base):
    """A generation of a delta that is kept, with a checkpoint of its own."""

    __tablename__ = "delta_snapshots"
    __table_args__ = (Index("ix_delta_snapshots_delta", "delta_id", "created_at", "snapshot_id"),)

    snapshot_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    delta_id: Mapped[str] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(255))
    generation: Mapped[int] = mapped_column(BigInteger)
    checkpoint: Mapped[str] = mapped_column(String(128))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RetiredObjectRow(Base):
    """An object that the newest map of its delta needs no more, with the time since when."""

    __tablename__ = "delta_retired_objects"

    delta_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    retired_at: Mapped[datetime] = mapped_column(UtcDateTime)
