"""Create the table of images."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("base_path", sa.String(512), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("upload_id", sa.String(1024), nullable=False),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("disk_size", sa.BigInteger()),
        sa.Column("disk_etag", sa.String(256)),
        sa.Column("disk_last_modified", _DATE),
        sa.Column("disk_cache_control", sa.String(512)),
        sa.Column("chunked_chunk_size", sa.BigInteger()),
        sa.Column("chunked_index_width", sa.Integer()),
        sa.Column("chunked_disk_sha256", sa.String(64)),
        sa.Column("chunked_manifest_size", sa.BigInteger()),
        sa.Column("chunked_manifest_etag", sa.String(256)),
        sa.Column("chunked_published_at", _DATE),
        sa.Column("chunked_cache_control", sa.String(512)),
        sa.PrimaryKeyConstraint("image_id", name="pk_images"),
        sa.CheckConstraint("state IN ('uploading', 'complete')", name="ck_images_state"),
    )


def downgrade() -> None:
    op.drop_table("images")
