"""What a migration calls that older programs do not survive: a contract step (ADR 29)."""

import sqlalchemy as sa
from alembic import op


def require_program(revision: str) -> None:
    """Let only programs of this revision or a newer one use the tables from now on."""
    statement = sa.text("UPDATE catalog_properties SET value = :revision WHERE name = 'oldest_program'")
    op.execute(statement.bindparams(revision=revision))
