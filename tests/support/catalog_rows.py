"""Everything that a catalog holds, to compare it with what it held before."""

from __future__ import annotations

from sqlalchemy import text

from image_gateway.catalog.database import open_engine

_TABLES = ("images", "usage", "shares", "share_links", "leases", "jobs", "audit_entries")


def catalog_rows(database_url: str) -> list[str]:
    """Return all rows of the catalog, sorted; of sessions only which there are, not when they were used."""
    engine = open_engine(database_url)
    with engine.connect() as connection:
        rows = [
            f"{table} {row}"
            for table in _TABLES
            for row in connection.execute(text(f"SELECT * FROM {table}")).all()
        ]
        ids = connection.execute(text("SELECT session_sha256 FROM browser_sessions")).all()
    engine.dispose()
    return sorted([*rows, *map(str, ids)])
