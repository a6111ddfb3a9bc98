"""`image-gateway db wait`: waits for a migration that another process runs."""

from __future__ import annotations

import signal
import time
from datetime import timedelta

import click
from sqlalchemy import Engine

from image_gateway.catalog.database import SchemaOutdated, current_revision, open_engine, require_current
from image_gateway.cli.sweep import Duration
from image_gateway.errors import CatalogUnavailable
from image_gateway.serving.environment import read_settings

POLL_SECONDS = 1.0


@click.command(epilog="Example: image-gateway db wait --timeout 10m")
@click.option(
    "--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait for the upgrade."
)
def wait(timeout: timedelta) -> None:
    """Wait until this version can use the database schema.

    Run it before `serve` and `worker` where another process runs `image-gateway db upgrade`. The exit status
    is 1 if the database does not answer, or is not upgraded in time.
    """
    # The first process of a container ignores SIGTERM unless it handles it (pid_namespaces(7)).
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = read_settings()
    engine = open_engine(settings.database_url, timeout=settings.catalog_timeout_seconds)
    deadline, said = time.monotonic() + timeout.total_seconds(), ""
    while (problem := _find_problem(engine)) is not None:
        if time.monotonic() >= deadline:
            raise problem
        if str(problem) != said:
            said = str(problem)
            click.echo(f"waiting: {said}", err=True)
        time.sleep(POLL_SECONDS)
    click.echo(f"tables: {current_revision(engine)}, ready")
    engine.dispose()


def _find_problem(engine: Engine) -> SchemaOutdated | CatalogUnavailable | None:
    """Return why the schema cannot be used yet, or None if it can."""
    try:
        require_current(engine)
    except (SchemaOutdated, CatalogUnavailable) as problem:
        return problem
    return None
