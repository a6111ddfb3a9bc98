"""`image-gateway db`: catalog migrations."""

from __future__ import annotations

import click
from sqlalchemy import Engine

from image_gateway.catalog.database import current_revision, newest_revision, open_engine, upgrade
from image_gateway.serving.environment import read_settings


@click.group()
def db() -> None:
    """Migrate the database named by DATABASE_URL."""


@db.command("upgrade", epilog="Example: DATABASE_URL=sqlite:////var/lib/images.db image-gateway db upgrade")
def upgrade_command() -> None:
    """Upgrade the database schema to the newest revision."""
    engine = _open()
    before = current_revision(engine)
    upgrade(engine)
    click.echo(f"tables: {before or 'empty'} -> {current_revision(engine)}")


@db.command()
def current() -> None:
    """Print the revision of the database schema and the required one."""
    click.echo(f"tables: {current_revision(_open()) or 'empty'}, needed: {newest_revision()}")


def _open() -> Engine:
    return open_engine(read_settings().database_url)
