"""`image-gateway download`: an image becomes a file, and goes on where it was interrupted."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import click

from image_gateway.cli.progress import Terminal, human_size
from image_gateway.cli.remote import (
    EX_INTERRUPTED,
    EXIT_STATUSES,
    gateway_options,
    print_json,
    transfer_options,
)
from image_gateway.client.api import GatewayClient
from image_gateway.client.downloading import Downloaded, Downloading
from image_gateway.client.retry import Retrier


@click.command(
    epilog="Example: image-gateway download 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 -o disk.img\n\n"
    + EXIT_STATUSES
)
@click.argument("image_id")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where to; an existing file is replaced once all is there.",
)
@gateway_options
@transfer_options
def download(
    image_id: str, output: Path, api: str, user: str, as_json: bool, parallel: int, patience: float
) -> None:
    """Download the image IMAGE_ID in parallel ranges of one version, and check its SHA-256.

    FILE.part and FILE.part.json hold what is there already; the same command goes on with them.
    """
    terminal = Terminal()
    downloading = Downloading(
        GatewayClient(api, user, connections=parallel + 1),
        image_id,
        output,
        retrier=Retrier(patience, say=terminal.say),
        parallel=parallel,
        watcher=terminal,
    )
    try:
        done = downloading.run()
    except KeyboardInterrupt:
        again = ["image-gateway", "download", image_id, "-o", str(output), "--api", api, "--user", user]
        terminal.say(f"interrupted; to go on: {shlex.join(again)}")
        sys.exit(EX_INTERRUPTED)
    _print_result(done, output, as_json)


def _print_result(done: Downloaded, output: Path, as_json: bool) -> None:
    if as_json:
        facts = asdict(done)
        print_json({"imageId": facts.pop("image_id"), "file": str(output), **facts})
        return
    click.echo(f"{output}, {human_size(done.size)}, etag {done.etag}")
    known = "as the gateway knows it" if done.checked else "the gateway knows none to compare with"
    click.echo(f"sha256 {done.sha256} ({known})")
