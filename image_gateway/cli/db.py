"""`image-gateway db`: catalog migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Engine

from image_gateway.catalog.database import (
    current_revision,
    is_newer,
    newest_revision,
    open_engine,
    require_current,
    upgrade,
)
from image_gateway.serving.environment import read_settings


@click.group()
def db() -> None:
    """Migrate the database named by DATABASE_URL."""


@db.command("upgrade", epilog="Example: DATABASE_URL=sqlite:////var/lib/images.db image-gateway db upgrade")
def upgrade_command() -> None:
    """Upgrade the database schema to the newest revision.

    A schema that a newer version has upgraded is left as it is; the exit status is 1 if this version cannot
    use it.
    """
    with _open() as engine:
        before = current_revision(engine)
        if is_newer(before):
            require_current(engine)
            click.echo(f"tables: {before}, newer than {newest_revision()}: nothing to do")
            return
        upgrade(engine)
        click.echo(f"tables: {before or 'empty'} -> {current_revision(engine)}")


@db.command()
def current() -> None:
    """Print the revision of the database schema and the required one."""
    with _open() as engine:
        click.echo(f"tables: {current_revision(engine) or 'empty'}, needed: {newest_revision()}")


@contextmanager
def _open() -> Iterator[Engine]:
    engine = open_engine(read_settings().database_url)
    try:
        yield engine
    finally:
        engine.dispose()
