"""`image-gateway serve`: replaces this process by gunicorn."""

from __future__ import annotations

import os

import click

from image_gateway.serving.command import gunicorn_command
from image_gateway.serving.environment import read_settings


@click.command(
    epilog="Example: WEB_WORKERS=4 HOST=0.0.0.0 image-gateway serve",
)
def serve() -> None:
    """Run the gateway with gunicorn on HOST:PORT.

    The database schema must be up to date: run `image-gateway db upgrade` first.
    """
    read_settings()
    command = gunicorn_command()
    os.execv(command[0], command)  # noqa: S606  # replaces this process; there is no shell
