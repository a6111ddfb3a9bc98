"""`image-gateway upload`: a file becomes an image, and goes on where it was interrupted."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from image_gateway.cli.progress import Terminal, human_size
from image_gateway.cli.remote import (
    EX_INTERRUPTED,
    EXIT_STATUSES,
    Gateway,
    gateway_options,
    one_line,
    print_json,
    transfer_options,
)
from image_gateway.client.errors import ApiError, ClientError
from image_gateway.client.resume_files import Journal, cache_folder
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Unfinished, Uploaded, Uploading

REMEMBERED = ""


@click.command(
    epilog=f"Example: image-gateway upload disk.img --name 'My disk'; interrupted, go on with: "
    f"image-gateway upload disk.img --resume\n\n{EXIT_STATUSES}"
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@gateway_options
@click.option("--name", help="Name of the new image.")
@click.option("--kind", type=click.Choice(["disk", "iso"]), help="What the image is.")
@transfer_options
@click.option(
    "--resume",
    is_flag=False,
    flag_value=REMEMBERED,
    metavar="[IMAGE_ID]",
    help="Go on with the unfinished upload of FILE that is remembered here, or with that of IMAGE_ID. "
    "Stands after FILE.",
)
@click.option("--new", "anew", is_flag=True, help="Begin anew although an upload of FILE is unfinished.")
@click.option("--sha256", "hashed", is_flag=True, help="Hash FILE first and let the gateway check it.")
def upload(
    file: Path,
    gateway: Gateway,
    as_json: bool,
    name: str | None,
    kind: str | None,
    parallel: int,
    patience: float,
    resume: str | None,
    anew: bool,
    hashed: bool,
) -> None:
    """Upload FILE in parallel parts, straight to the store.

    Whatever interrupts it, the parts that arrived are kept and `--resume` sends only the others. While the
    network is away it waits and goes on by itself.
    """
    if resume is not None and (anew or name or kind):
        raise click.UsageError(
            "--resume goes on with an image as it was begun: leave out --new, --name, --kind"
        )
    terminal = Terminal()
    uploading = Uploading(
        gateway.client(connections=parallel + 1),
        file,
        retrier=Retrier(patience, say=terminal.say),
        parallel=parallel,
        progress=terminal,
        journal=Journal(cache_folder(os.environ), gateway.api, file),
    )
    again = ["image-gateway", "upload", str(file), *gateway.options()]
    with _telling_how_to_go_on(terminal, uploading, again):
        if resume is None and not anew:
            uploading.refuse_unfinished()
        sha256 = uploading.hash() if hashed else None
        if resume is None:
            done = uploading.begin(name=name, kind=kind, sha256=sha256)
        else:
            done = uploading.resume(resume or None, sha256=sha256)
    _print_result(done, as_json)


@contextmanager
def _telling_how_to_go_on(terminal: Terminal, uploading: Uploading, again: list[str]) -> Iterator[None]:
    try:
        yield
    except Unfinished as error:
        advice = (
            f"  go on with it:  {shlex.join([*again, '--resume'])}",
            f"  begin anew:     {shlex.join([*again, '--new'])}",
        )
        raise ClientError(str(error), advice=advice) from None
    except ApiError:
        if uploading.image_id:
            terminal.say(f"to go on: {shlex.join([*again, '--resume', uploading.image_id])}")
        raise
    except KeyboardInterrupt:
        resume = ["--resume", uploading.image_id] if uploading.image_id else []
        terminal.say(f"interrupted; to go on: {shlex.join([*again, *resume])}")
        sys.exit(EX_INTERRUPTED)


def _print_result(done: Uploaded, as_json: bool) -> None:
    if as_json:
        facts = asdict(done)
        print_json({"imageId": facts.pop("image_id"), **facts})
        return
    click.echo(f"image {one_line(done.image_id)}, {human_size(done.size)}, etag {one_line(done.etag)}")
    click.echo(f"{done.sent} parts sent, {done.kept} were there")
    if done.sha256:
        click.echo(f"sha256 {one_line(done.sha256)}")
