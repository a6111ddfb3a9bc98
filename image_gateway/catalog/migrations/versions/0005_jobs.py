"""Add background jobs, formats and sources of images, zero maps, boot traces and recording leases."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)
_STATES = "state IN ('uploading', 'processing', 'complete', 'failed', 'deleted')"
_STATES_BEFORE = "state IN ('uploading', 'complete', 'failed', 'deleted')"
_ACTIVE = sa.text("state IN ('queued', 'running')")
_NEW_COLUMNS = ("format", "source_size", "source_etag", "source_last_modified", "zero_map_bytes")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("result", sa.Text()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("bytes_done", sa.BigInteger(), nullable=False),
        sa.Column("bytes_total", sa.BigInteger()),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.String(1024)),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("run_after", _DATE, nullable=False),
        sa.Column("started_at", _DATE),
        sa.Column("finished_at", _DATE),
        sa.Column("seconds", sa.Float()),
        sa.Column("worker", sa.String(255)),
        sa.Column("claim_id", sa.String(36)),
        sa.Column("claim_expires_at", _DATE),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="ck_jobs_state"
        ),
    )
    op.create_index("ix_jobs_image", "jobs", ["image_id", "created_at", "job_id"])
    op.create_index(
        "ix_jobs_active", "jobs", ["run_after", "job_id"], sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
    )
    op.create_index("ix_jobs_finished", "jobs", ["finished_at", "job_id"])
    op.create_table(
        "boot_traces",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_boot_traces"),
    )
    with op.batch_alter_table("images") as images:
        images.drop_constraint("ck_images_state", type_="check")
        images.create_check_constraint("ck_images_state", _STATES)
        images.add_column(sa.Column("format", sa.String(16), nullable=False, server_default="raw"))
        images.add_column(sa.Column("source_size", sa.BigInteger()))
        images.add_column(sa.Column("source_etag", sa.String(256)))
        images.add_column(sa.Column("source_last_modified", _DATE))
        images.add_column(sa.Column("zero_map_bytes", sa.BigInteger()))
    with op.batch_alter_table("images") as images:
        images.alter_column("format", server_default=None)
    op.add_column("leases", sa.Column("record", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("leases") as leases:
        leases.alter_column("record", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("leases") as leases:
        leases.drop_column("record")
    # The previous release does not know the state: what is being processed has failed there.
    op.execute("UPDATE images SET state = 'failed', purged_at = NULL WHERE state = 'processing'")
    with op.batch_alter_table("images") as images:
        images.drop_constraint("ck_images_state", type_="check")
        images.create_check_constraint("ck_images_state", _STATES_BEFORE)
        for column in _NEW_COLUMNS:
            images.drop_column(column)
    op.drop_table("boot_traces")
    op.drop_table("jobs")
