"""Create the table of writers, and add to leases how expiry is answered and where chunks are read from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_DATE = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "writers",
        sa.Column("writer_id", sa.String(36), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("expires_at", _DATE, nullable=False),
        sa.PrimaryKeyConstraint("writer_id", name="pk_writers"),
    )
    op.create_index("ix_writers_image", "writers", ["image_id", "expires_at"])
    # Leases made before this revision keep their behaviour: readers wait for the renewal.
    op.add_column("leases", sa.Column("when_lapsed", sa.String(16), nullable=False, server_default="wait"))
    op.add_column("leases", sa.Column("chunks_from", sa.String(16), nullable=False, server_default="gateway"))
    with op.batch_alter_table("leases") as leases:
        leases.alter_column("when_lapsed", server_default=None)
        leases.alter_column("chunks_from", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("leases") as leases:
        leases.drop_column("chunks_from")
        leases.drop_column("when_lapsed")
    op.drop_table("writers")
