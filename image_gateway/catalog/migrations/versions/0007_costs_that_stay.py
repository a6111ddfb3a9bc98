"""Add indexes of what the sweeper and the metrics look for, and the totals of ended jobs.

On PostgreSQL, creating an index lets reads of its table go on, and writes wait. An index that is there
already is kept: create those of a large table with CONCURRENTLY first (docs/how-to/postgresql.md). One that
is invalid, because that failed or has not ended, is refused: no query would ever use it.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util.exc import CommandError

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COMPLETE = sa.text("state = 'complete'")
_UNFINISHED = sa.text("state IN ('uploading', 'processing')")


def upgrade() -> None:
    _refuse_invalid_indexes()
    op.create_table(
        "job_totals",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "state", name="pk_job_totals"),
    )
    op.execute(
        "INSERT INTO job_totals (kind, state, jobs, seconds)"
        " SELECT kind, state, COUNT(*), COALESCE(SUM(seconds), 0) FROM jobs"
        " WHERE state NOT IN ('queued', 'running') GROUP BY kind, state"
    )
    # Last: the locks are held until the end of the transaction.
    _create_index("ix_writers_expiry", "writers", ["expires_at"])
    _create_index("ix_images_unfinished", "images", ["owner", "state", "reserved_bytes"], _UNFINISHED)
    _create_index("ix_images_complete", "images", ["image_id"], _COMPLETE)


def downgrade() -> None:
    op.drop_table("job_totals")
    op.drop_index("ix_writers_expiry", "writers")
    op.drop_index("ix_images_unfinished", "images")
    op.drop_index("ix_images_complete", "images")


def _refuse_invalid_indexes() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    names = "('ix_writers_expiry', 'ix_images_unfinished', 'ix_images_complete')"
    invalid = (
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid"
    )
    visible = f" AND c.relname IN {names} AND pg_table_is_visible(i.indrelid) ORDER BY 1"
    if found := connection.execute(sa.text(invalid + visible)).scalars().first():
        raise CommandError(
            f"the index {found} is invalid: wait if CREATE INDEX CONCURRENTLY still runs, otherwise run "
            f"DROP INDEX CONCURRENTLY {found}; then upgrade again"
        )


def _create_index(name: str, table: str, columns: list[str], where: sa.TextClause | None = None) -> None:
    op.create_index(name, table, columns, if_not_exists=True, sqlite_where=where, postgresql_where=where)
