"""Add deltas: their rows, commits, snapshots and retired objects, and leases of deltas."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_deltas()
    op.create_table(
        "delta_commits",
        sa.Column("delta_id", sa.String(36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(256), nullable=False),
        sa.Column("extents", sa.Integer(), nullable=False),
        sa.Column("blocks", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(128), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("checkpointed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("delta_id", "generation", name="pk_delta_commits"),
    )
    op.create_index("uq_delta_commits_key", "delta_commits", ["delta_id", "idempotency_key"], unique=True)
    checkpointed = sa.text("checkpointed")
    op.create_index(
        "ix_delta_commits_checkpointed",
        "delta_commits",
        ["created_at", "delta_id", "generation"],
        sqlite_where=checkpointed,
        postgresql_where=checkpointed,
    )
    op.create_table(
        "delta_snapshots",
        sa.Column("snapshot_id", sa.String(36), nullable=False),
        sa.Column("delta_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.String(128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", name="pk_delta_snapshots"),
    )
    op.create_index("ix_delta_snapshots_delta", "delta_snapshots", ["delta_id", "created_at", "snapshot_id"])
    op.create_table(
        "delta_retired_objects",
        sa.Column("delta_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", _DATE, nullable=False),
        sa.PrimaryKeyConstraint("delta_id", "name", name="pk_delta_retired_objects"),
    )
    with op.batch_alter_table("leases") as leases:
        leases.add_column(sa.Column("delta_id", sa.String(36)))
        leases.add_column(sa.Column("delta_generation", sa.BigInteger()))
        leases.add_column(sa.Column("delta_epoch", sa.BigInteger()))


def _create_deltas() -> None:
    op.create_table(
        "deltas",
        sa.Column("delta_id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("disk_size", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("block_size", sa.Integer(), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("updated_at", _DATE, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("live_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.String(36)),
        sa.Column("parent_generation", sa.BigInteger()),
        sa.Column("checkpoint", sa.String(128)),
        sa.Column("checkpoint_generation", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint_size", sa.BigInteger(), nullable=False),
        sa.Column("recent_extents", sa.BigInteger(), nullable=False),
        sa.Column("reset_generation", sa.BigInteger(), nullable=False),
        sa.Column("purged_at", _DATE),
        sa.CheckConstraint("state IN ('active', 'deleted')", name="ck_deltas_state"),
        sa.PrimaryKeyConstraint("delta_id", name="pk_deltas"),
    )
    active, unpurged = sa.text("state = 'active'"), sa.text("purged_at IS NULL")
    for name, columns, where in (
        ("ix_deltas_listed", ["owner", "created_at", "delta_id"], active),
        ("ix_deltas_of_image", ["image_id", "owner", "created_at", "delta_id"], active),
        ("ix_deltas_unpurged", ["image_id", "delta_id"], unpurged),
    ):
        op.create_index(name, "deltas", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    with op.batch_alter_table("leases") as leases:
        for name in ("delta_epoch", "delta_generation", "delta_id"):
            leases.drop_column(name)
    for table in ("delta_retired_objects", "delta_snapshots", "delta_commits", "deltas"):
        op.drop_table(table)
