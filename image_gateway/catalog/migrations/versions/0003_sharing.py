"""Create the tables of shares, share links and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("permission", sa.String(16), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "user_id", name="pk_shares"),
        sa.CheckConstraint("permission IN ('read', 'write')", name="ck_shares_permission"),
    )
    op.create_index("ix_shares_user", "shares", ["user_id", "image_id"])
    op.create_table(
        "share_links",
        sa.Column("link_id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("expires_at", _DATE),
        sa.Column("max_uses", sa.BigInteger()),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", _DATE),
        sa.PrimaryKeyConstraint("link_id", name="pk_share_links"),
    )
    op.create_index("uq_share_links_token_sha256", "share_links", ["token_sha256"], unique=True)
    op.create_index("ix_share_links_image", "share_links", ["image_id", "created_at", "link_id"])
    op.create_table(
        "leases",
        sa.Column("lease_id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(128), nullable=False),
        sa.Column("holder", sa.String(300), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("ttl_seconds", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", _DATE, nullable=False),
        sa.Column("session_ends_at", _DATE, nullable=False),
        sa.Column("revoked_at", _DATE),
        sa.PrimaryKeyConstraint("lease_id", name="pk_leases"),
    )
    op.create_index("ix_leases_holder", "leases", ["image_id", "holder", "created_at"])
    op.create_index("ix_leases_session", "leases", ["session_ends_at", "lease_id"])


def downgrade() -> None:
    for table in ("leases", "share_links", "shares"):
        op.drop_table(table)
