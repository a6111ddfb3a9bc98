"""`image-gateway download`: downloads an image to a file, with resume."""

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
    output_option,
    print_json,
    transfer_options,
    warn_if_overheard,
)
from image_gateway.client.api import GatewayClient
from image_gateway.client.download import Downloaded, Downloading, ImageSource
from image_gateway.client.leases import LONGEST_LINK, BadLink, Leased, Link, read_link
from image_gateway.client.retry import Retrier

LINK_VARIABLE = "IMAGE_GATEWAY_LINK"


@click.command(
    epilog="Example: image-gateway download 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 -o disk.img; with a link: "
    f"image-gateway download --link-file link.txt -o disk.img\n\n{EXIT_STATUSES}"
)
@click.argument("image_id", required=False)
@output_option("download")
@click.option(
    "--link-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="File with a share link's token or a lease URL, instead of IMAGE_ID; - is stdin. "
    f"Default: the link in {LINK_VARIABLE}.",
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
    """Download the image IMAGE_ID in parallel ranges and verify its SHA-256.

    An interrupted download is kept in FILE.part and FILE.part.json. Run the same command again to resume it.

    A link needs no user account; --user and --token-file are ignored.
    """
    terminal = Terminal()
    retrier = Retrier(patience, say=terminal.say)
    link = _find_link(image_id, link_file, gateway.api)
    command = ["image-gateway", "download", "-o", str(output)]
    try:
        if link:
            command += ["--api", gateway.api, *(["--link-file", link_file] if link_file else [])]
            warn_if_overheard(link.api)
            lease = retrier.call(lambda: Leased(link))
            image_id, client = lease.image_id, GatewayClient(link.api, lease, connections=parallel + 1)
        else:
            command += [str(image_id), *gateway.options()]
            client = gateway.client(connections=parallel + 1)
        done = Downloading(
            ImageSource(client, str(image_id), by_lease=link is not None),
            output,
            retrier=retrier,
            parallel=parallel,
            progress=terminal,
        ).run()
    except KeyboardInterrupt:
        terminal.say(f"interrupted; to resume: {shlex.join(command)}")
        sys.exit(EX_INTERRUPTED)
    _print_result(done, output, as_json, by_link=link is not None)


def _find_link(image_id: str | None, link_file: str | None, api: str) -> Link | None:
    """Return the link to download with; None if IMAGE_ID is given, which precedes the environment."""
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
        raise click.UsageError(f"missing image: give IMAGE_ID or --link-file, or set {LINK_VARIABLE}")
    try:
        return read_link(os.environ[LINK_VARIABLE], api)
    except BadLink as error:
        raise ConfigError(f"{LINK_VARIABLE} {error}") from None


def _print_result(done: Downloaded, output: Path, as_json: bool, *, by_link: bool) -> None:
    if as_json:
        facts = asdict(done)
        print_json({"imageId": facts.pop("source_id"), "file": str(output), **facts})
        return
    click.echo(f"{one_line(output)}, {human_size(done.size)}, etag {one_line(done.etag)}")
    reason = "a share link provides no SHA-256" if by_link else "the gateway has no SHA-256"
    click.echo(f"sha256 {done.sha256} ({'verified' if done.checked else f'not verified: {reason}'})")
