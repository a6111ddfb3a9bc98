"""`image-gateway edge`: configuration of nginx in front of the gateway."""

from __future__ import annotations

from pathlib import Path

import click

from image_gateway.cli.private_files import write_private
from image_gateway.components import store_address
from image_gateway.edge.config import render_config
from image_gateway.serving.environment import read_settings


@click.group()
def edge() -> None:
    """Configure nginx in front of the gateway."""


@edge.command(
    epilog="Example: image-gateway edge config --output /etc/nginx/nginx.conf && nginx -t && nginx -s reload",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Output file, created with mode 0600.  [default: standard output]",
)
def config(output: Path | None) -> None:
    """Generate a complete nginx.conf from the settings, for Debian's nginx and the official image.

    nginx serves image data from its own cache and checks permissions with the gateway. The gateway must run
    with the same EDGE_TOKEN and with TRUSTED_PROXY_HOPS=1.
    """
    settings = read_settings()
    text = render_config(settings, store_address(settings))
    if settings.trusted_proxy_hops == 0:
        click.echo("note: set TRUSTED_PROXY_HOPS=1 for the gateway behind this nginx", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    # It contains EDGE_TOKEN.
    write_private(output, text)
    click.echo(f"wrote {output}", err=True)
