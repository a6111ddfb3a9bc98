"""Runs the migrations on the connection passed by `catalog.database`."""

from alembic import context
from sqlalchemy import text

from image_gateway.catalog import delta_models  # noqa: F401  # Its tables belong to the metadata.
from image_gateway.catalog.models import Base

UPGRADE_LOCK = 0x1A6E6A7E

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
