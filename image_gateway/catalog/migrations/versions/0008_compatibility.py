"""Add properties of the catalog as a whole, and defaults that programs of the previous release need.

Release 0.2.0 does not know `images.format` and `leases.record`, and inserts rows without them while it runs
beside a newer program.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    properties = op.create_table(
        "catalog_properties",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_catalog_properties"),
    )
    op.bulk_insert(properties, [{"name": "oldest_program", "value": revision}])
    with op.batch_alter_table("images") as images:
        images.alter_column("format", existing_type=sa.String(16), server_default="raw")
    with op.batch_alter_table("leases") as leases:
        leases.alter_column("record", existing_type=sa.Boolean(), server_default=sa.false())


def downgrade() -> None:
    with op.batch_alter_table("leases") as leases:
        leases.alter_column("record", existing_type=sa.Boolean(), server_default=None)
    with op.batch_alter_table("images") as images:
        images.alter_column("format", existing_type=sa.String(16), server_default=None)
    op.drop_table("catalog_properties")
