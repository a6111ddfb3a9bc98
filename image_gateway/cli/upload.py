"""`image-gateway upload`: uploads a file as an image, with resume."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import click

from image_gateway.cli.jobs import follow_image
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
from image_gateway.client.files import Journal, cache_folder
from image_gateway.client.jobs import JobsClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Unfinished, Uploaded, Uploading
from image_gateway.domain.images import ImageFormat

FROM_JOURNAL = ""


@click.command(
    epilog=f"Example: image-gateway upload disk.img --name 'My disk'; to resume it after an interruption: "
    f"image-gateway upload disk.img --resume\n\n{EXIT_STATUSES}"
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@gateway_options
@click.option("--name", help="Name of the new image.")
@click.option("--kind", type=click.Choice(["disk", "iso"]), help="Type of the image.")
@click.option(
    "--format",
    "image_format",
    type=click.Choice([image_format.value for image_format in ImageFormat]),
    help="Format of FILE; the gateway converts it to a raw disk.  [default: raw]",
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the conversion.")
@transfer_options
@click.option(
    "--resume",
    is_flag=False,
    flag_value=FROM_JOURNAL,
    metavar="[IMAGE_ID]",
    help="Resume the unfinished upload of FILE, by default the last one from this machine. Must follow FILE.",
)
@click.option("--new", "start_over", is_flag=True, help="Start over even if an upload of FILE is unfinished.")
@click.option(
    "--sha256", "declare_sha256", is_flag=True, help="Hash FILE first and let the gateway verify it."
)
def upload(
    file: Path,
    gateway: Gateway,
    as_json: bool,
    name: str | None,
    kind: str | None,
    image_format: str | None,
    no_wait: bool,
    parallel: int,
    patience: float,
    resume: str | None,
    start_over: bool,
    declare_sha256: bool,
) -> None:
    """Upload FILE in parallel parts, directly to the store.

    After an interruption, `--resume` uploads only the missing parts. Temporary network errors are retried
    automatically.
    """
    if resume is not None and (start_over or name or kind or image_format):
        raise click.UsageError("--resume cannot be combined with --new, --name, --kind or --format")
    terminal = Terminal()
    uploading = Uploading(
        gateway.client(connections=parallel + 1),
        file,
        retrier=Retrier(patience, say=terminal.say),
        parallel=parallel,
        progress=terminal,
        journal=Journal(cache_folder(os.environ), gateway.api, file),
    )
    command = ["image-gateway", "upload", str(file), *gateway.options()]
    with _printing_resume_command(terminal, uploading, command):
        if resume is None and not start_over:
            uploading.refuse_unfinished()
        sha256 = uploading.hash() if declare_sha256 else None
        if resume is None:
            done = uploading.begin(name=name, kind=kind, sha256=sha256, image_format=image_format)
        else:
            done = uploading.resume(resume or None, sha256=sha256)
    failed = None
    if done.state != "complete" and not no_wait:
        job = follow_image(JobsClient(gateway.client()), done.image_id)
        failed = job.get("error", {"message": job["state"]}) if job["state"] != "done" else None
        done = replace(done, state="failed" if failed else "complete")
    _print_result(done, as_json)
    if failed:
        raise ClientError(f"the conversion failed: {failed['message']}")


@contextmanager
def _printing_resume_command(terminal: Terminal, uploading: Uploading, command: list[str]) -> Iterator[None]:
    try:
        yield
    except Unfinished as error:
        advice = (
            f"  resume it:   {shlex.join([*command, '--resume'])}",
            f"  start over:  {shlex.join([*command, '--new'])}",
        )
        raise ClientError(str(error), advice=advice) from None
    except ApiError:
        if uploading.image_id:
            terminal.say(f"to resume: {shlex.join([*command, '--resume', uploading.image_id])}")
        raise
    except KeyboardInterrupt:
        resume = ["--resume", uploading.image_id] if uploading.image_id else []
        terminal.say(f"interrupted; to resume: {shlex.join([*command, *resume])}")
        sys.exit(EX_INTERRUPTED)


def _print_result(done: Uploaded, as_json: bool) -> None:
    if as_json:
        facts = asdict(done)
        print_json({"imageId": facts.pop("image_id"), **facts})
        return
    click.echo(f"image {one_line(done.image_id)}, {human_size(done.size)}, etag {one_line(done.etag)}")
    if done.state == "processing":
        click.echo(f"processing; to watch it: image-gateway jobs list {one_line(done.image_id)}")
    click.echo(f"{done.sent} parts sent, {done.kept} already stored")
    if done.sha256:
        click.echo(f"sha256 {one_line(done.sha256)}")
