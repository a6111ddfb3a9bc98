"""`image-gateway download`: an image becomes a file, and goes on where it was interrupted."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import click

from image_gateway.cli.progress import Terminal, human_size
from image_gateway.cli.remote import (
    EX_INTERRUPTED,
    EXIT_STATUSES,
    ConfigError,
    Gateway,
    gateway_options,
    one_line,
    print_json,
    transfer_options,
    warn_if_overheard,
)
from image_gateway.client.api import GatewayClient
from image_gateway.client.download import Downloaded, Downloading
from image_gateway.client.leases import LONGEST_LINK, BadLink, Leased, Link, read_link
from image_gateway.client.retry import Retrier

LINK_VARIABLE = "IMAGE_GATEWAY_LINK"


@click.command(
    epilog="Example: image-gateway download 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 -o disk.img; by a link: "
    f"image-gateway download --link-file link.txt -o disk.img\n\n{EXIT_STATUSES}"
)
@click.argument("image_id", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where to; an existing file is replaced once all is there.",
)
@click.option(
    "--link-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Instead of IMAGE_ID: holds the token of a share link, or the URL of a lease; - is stdin. "
    f"Else {LINK_VARIABLE} is the link.",
)
@gateway_options
@transfer_options
def download(
    image_id: str | None,
    output: Path,
    link_file: str | None,
    gateway: Gateway,
    as_json: bool,
    parallel: int,
    patience: float,
) -> None:
    """Download the image IMAGE_ID in parallel ranges of one version, and check its SHA-256.

    FILE.part and FILE.part.json hold what is there already; the same command goes on with them.

    With a link no account is needed, and none is used.
    """
    terminal = Terminal()
    retrier = Retrier(patience, say=terminal.say)
    link = _find_link(image_id, link_file, gateway.api)
    again = ["image-gateway", "download", "-o", str(output)]
    try:
        if link:
            again += ["--api", gateway.api, *(["--link-file", link_file] if link_file else [])]
            warn_if_overheard(link.api)
            lease = retrier.call(lambda: Leased(link))
            image_id, client = lease.image_id, GatewayClient(link.api, lease, connections=parallel + 1)
        else:
            again += [str(image_id), *gateway.options()]
            client = gateway.client(connections=parallel + 1)
        done = Downloading(
            client,
            str(image_id),
            output,
            retrier=retrier,
            parallel=parallel,
            progress=terminal,
            by_lease=link is not None,
        ).run()
    except KeyboardInterrupt:
        terminal.say(f"interrupted; to go on: {shlex.join(again)}")
        sys.exit(EX_INTERRUPTED)
    _print_result(done, output, as_json, by_link=link is not None)


def _find_link(image_id: str | None, link_file: str | None, api: str) -> Link | None:
    """What to download by; None for an image's id, which a link in the environment does not outdo."""
    if image_id and link_file:
        raise click.UsageError("give IMAGE_ID or --link-file, not both")
    if image_id:
        return None
    if link_file:
        try:
            with click.open_file(link_file, encoding="ascii", errors="replace") as file:
                return read_link(file.readline(LONGEST_LINK), api)
        except BadLink as error:
            raise click.BadParameter(str(error), param_hint="'--link-file'") from None
    if not os.environ.get(LINK_VARIABLE):
        raise click.UsageError(f"what to download is missing: give IMAGE_ID, --link-file or {LINK_VARIABLE}")
    try:
        return read_link(os.environ[LINK_VARIABLE], api)
    except BadLink as error:
        raise ConfigError(f"{LINK_VARIABLE} {error}") from None


def _print_result(done: Downloaded, output: Path, as_json: bool, *, by_link: bool) -> None:
    if as_json:
        facts = asdict(done)
        print_json({"imageId": facts.pop("image_id"), "file": str(output), **facts})
        return
    click.echo(f"{one_line(output)}, {human_size(done.size)}, etag {one_line(done.etag)}")
    unknown = "a link tells none" if by_link else "the gateway knows none"
    known = "as the gateway knows it" if done.checked else f"{unknown} to compare with"
    click.echo(f"sha256 {done.sha256} ({known})")
