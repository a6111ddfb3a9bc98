"""Add names, states, upload plans and revisions of images, and the usage of owners."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)
_STATES = "state IN ('uploading', 'complete', 'failed', 'deleted')"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_usage"),
    )
    with op.batch_alter_table("images") as images:
        images.drop_constraint("ck_images_state", type_="check")
        images.create_check_constraint("ck_images_state", _STATES)
        images.add_column(sa.Column("name", sa.String(255), nullable=False, server_default="disk.img"))
        images.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="disk"))
        images.add_column(sa.Column("visibility", sa.String(16), nullable=False, server_default="private"))
        images.add_column(sa.Column("revision", sa.BigInteger(), nullable=False, server_default="1"))
        images.add_column(sa.Column("reserved_bytes", sa.BigInteger(), nullable=False, server_default="0"))
        images.add_column(sa.Column("updated_at", _DATE))
        images.add_column(sa.Column("purged_at", _DATE))
        images.add_column(sa.Column("declared_size", sa.BigInteger()))
        images.add_column(sa.Column("declared_sha256", sa.String(64)))
        images.add_column(sa.Column("upload_expires_at", _DATE))
    _fill_in()
    with op.batch_alter_table("images") as images:
        for column in ("name", "kind", "visibility", "revision", "reserved_bytes"):
            images.alter_column(column, server_default=None)
        images.alter_column("updated_at", existing_type=_DATE, nullable=False)
        images.alter_column("upload_expires_at", existing_type=_DATE, nullable=False)
    _create_indexes()


def _fill_in() -> None:
    """Fill the new columns of existing rows; open uploads expire in a week."""
    in_a_week = sa.bindparam("moment", datetime.now(UTC) + timedelta(days=7), type_=_DATE)
    statement = sa.text(
        "UPDATE images SET updated_at = created_at, upload_expires_at = :moment,"
        " reserved_bytes = COALESCE(disk_size, 0)"
    )
    op.get_bind().execute(statement.bindparams(in_a_week))
    op.execute(
        "INSERT INTO usage (owner, images, bytes)"
        " SELECT owner, COUNT(*), SUM(reserved_bytes) FROM images GROUP BY owner"
    )


def _create_indexes() -> None:
    listed = sa.text("state <> 'deleted'")
    uploading = sa.text("state = 'uploading'")
    unpurged = sa.text("state IN ('failed', 'deleted') AND purged_at IS NULL")
    op.create_index(
        "ix_images_listed",
        "images",
        ["owner", "created_at", "image_id"],
        sqlite_where=listed,
        postgresql_where=listed,
    )
    op.create_index("ix_images_by_state", "images", ["owner", "state", "created_at", "image_id"])
    op.create_index(
        "ix_images_open",
        "images",
        ["upload_expires_at", "image_id"],
        sqlite_where=uploading,
        postgresql_where=uploading,
    )
    op.create_index(
        "ix_images_unpurged", "images", ["image_id"], sqlite_where=unpurged, postgresql_where=unpurged
    )


def downgrade() -> None:
    for index in ("ix_images_listed", "ix_images_by_state", "ix_images_open", "ix_images_unpurged"):
        op.drop_index(index, "images")
    # The first release has neither state; the objects of these images are deleted or being deleted.
    op.execute("DELETE FROM images WHERE state IN ('failed', 'deleted')")
    with op.batch_alter_table("images") as images:
        images.drop_constraint("ck_images_state", type_="check")
        images.create_check_constraint("ck_images_state", "state IN ('uploading', 'complete')")
        for column in (
            "name",
            "kind",
            "visibility",
            "revision",
            "reserved_bytes",
            "updated_at",
            "purged_at",
            "declared_size",
            "declared_sha256",
            "upload_expires_at",
        ):
            images.drop_column(column)
    op.drop_table("usage")
