"""`image-gateway config`: prints the effective settings."""

from __future__ import annotations

import click

from image_gateway.catalog.database import open_engine
from image_gateway.cli.remote import one_line
from image_gateway.components import make_cdn
from image_gateway.serving.environment import read_settings
from image_gateway.serving.startup import describe_endpoints


@click.command(epilog="Example: image-gateway config | grep S3_")
def config() -> None:
    """Print the effective settings with secrets masked.

    The exit status is 78 if settings are invalid; all errors are printed.
    """
    settings = read_settings()
    make_cdn(settings)
    open_engine(settings.database_url).dispose()
    for name, value in settings.masked():
        click.echo(one_line(f"{name}={value}"))
    for line in describe_endpoints(settings):
        click.echo(one_line(f"# {line}"), err=True)
