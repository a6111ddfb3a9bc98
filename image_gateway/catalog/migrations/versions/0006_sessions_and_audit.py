"""Add the sessions of browsers, the audit entries of images, and the labels of share links."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "browser_sessions",
        sa.Column("session_sha256", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("display_name", sa.String(256), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("last_used_at", _DATE, nullable=False),
        sa.Column("expires_at", _DATE, nullable=False),
        sa.PrimaryKeyConstraint("session_sha256", name="pk_browser_sessions"),
    )
    op.create_index("ix_browser_sessions_user", "browser_sessions", ["user_id", "created_at"])
    op.create_index("ix_browser_sessions_expiry", "browser_sessions", ["expires_at", "session_sha256"])
    op.create_table(
        "audit_entries",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("created_at", _DATE, nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(256)),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_image", "audit_entries", ["image_id", "created_at", "entry_id"])
    op.create_index("ix_audit_entries_created", "audit_entries", ["created_at", "entry_id"])
    op.add_column("share_links", sa.Column("label", sa.String(255)))


def downgrade() -> None:
    with op.batch_alter_table("share_links") as share_links:
        share_links.drop_column("label")
    op.drop_table("audit_entries")
    op.drop_table("browser_sessions")
