"""`image-gateway delta`: makes, shows, forks, resets, flattens and deletes deltas."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import click

from image_gateway.cli.jobs import finish
from image_gateway.cli.progress import human_size
from image_gateway.cli.remote import (
    EXIT_STATUSES,
    Gateway,
    all_pages,
    gateway_options,
    one_line,
    print_json,
    print_table,
    with_retries,
)
from image_gateway.client.deltas.calls import DeltasClient
from image_gateway.client.jobs import JobsClient
from image_gateway.protocol.deltas.segment import (
    DEFAULT_BLOCK_SIZE,
    MAX_BLOCK_SIZE,
    MIN_BLOCK_SIZE,
    is_block_size,
)

IMAGE = "6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10"
DELTA = "c6b8a3d2-41f7-4f0e-8a55-0d9b1e7c2a64"
MAX_PAGE_SIZE = 100

generation_option = click.option(
    "--generation",
    type=click.IntRange(0),
    help="A generation that is kept, such as that of a snapshot.  [default: the newest]",
)


def _check_block_size(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if not is_block_size(value):
        raise click.BadParameter(
            f"{value} is not a power of two from {MIN_BLOCK_SIZE} to {MAX_BLOCK_SIZE}, such as 4096"
        )
    return value


@click.group(epilog=EXIT_STATUSES)
def delta() -> None:
    """Write to images without changing them: a delta holds the blocks that were written."""


@delta.command(epilog=f"Example: image-gateway delta create {IMAGE} --name 'My machine'")
@click.argument("image_id", metavar="IMAGE")
@click.option(
    "--block-size",
    type=int,
    default=DEFAULT_BLOCK_SIZE,
    show_default=True,
    callback=_check_block_size,
    metavar="BYTES",
    help=f"A power of two from {MIN_BLOCK_SIZE} to {MAX_BLOCK_SIZE}, best that of the disk's file system.",
)
@click.option("--name", help="Name of the delta.")
@gateway_options
def create(image_id: str, block_size: int, name: str | None, gateway: Gateway, as_json: bool) -> None:
    """Create an empty delta over IMAGE, which must be complete and a disk."""
    client = DeltasClient(gateway.client())
    made = with_retries(lambda: client.create(image_id, blockSize=block_size, name=name))
    _print_made(made, as_json)


@delta.command(epilog=f"Example: image-gateway delta fork {DELTA} --generation 7 --name 'Second try'")
@click.argument("delta_id", metavar="DELTA")
@generation_option
@click.option("--name", help="Name of the new delta.")
@gateway_options
def fork(delta_id: str, generation: int | None, name: str | None, gateway: Gateway, as_json: bool) -> None:
    """Create a delta that begins with the contents of DELTA. Both can be written independently."""
    client = DeltasClient(gateway.client())
    made = with_retries(lambda: client.fork(delta_id, generation=generation, name=name))
    _print_made(made, as_json)


@delta.command("list", epilog="Example: image-gateway delta list --image " + IMAGE)
@click.option("--image", "image_id", metavar="IMAGE", help="Only deltas over this image.")
@click.option("--limit", type=click.IntRange(1), help="Maximum number of deltas.  [default: all]")
@gateway_options
def list_deltas(image_id: str | None, limit: int | None, gateway: Gateway, as_json: bool) -> None:
    """List the user's deltas."""
    fetch = DeltasClient(gateway.client()).list
    size = min(limit or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    found = list(islice(all_pages(fetch, "deltas", imageId=image_id, limit=size), limit))
    if as_json:
        print_json({"deltas": found})
    else:
        print_table(("DELTA", "NAME", "IMAGE", "GENERATION", "STORED", "CREATED"), map(_row, found))


@delta.command(epilog=f"Example: image-gateway delta show {DELTA}")
@click.argument("delta_id", metavar="DELTA")
@gateway_options
def show(delta_id: str, gateway: Gateway, as_json: bool) -> None:
    """Show the record of DELTA."""
    client = DeltasClient(gateway.client())
    _print_record(with_retries(lambda: client.delta(delta_id)), as_json)


@delta.command(epilog=f"Example: image-gateway delta log {DELTA} --limit 20")
@click.argument("delta_id", metavar="DELTA")
@click.option("--limit", type=click.IntRange(1), help="Maximum number of commits.  [default: all]")
@gateway_options
def log(delta_id: str, limit: int | None, gateway: Gateway, as_json: bool) -> None:
    """List the commits and resets of DELTA, newest first, as far as the gateway remembers them."""
    fetch = partial(DeltasClient(gateway.client()).log, delta_id)
    size = min(limit or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
    found = list(islice(all_pages(fetch, "commits", limit=size), limit))
    if as_json:
        print_json({"deltaId": delta_id, "commits": found})
    else:
        print_table(("GENERATION", "EPOCH", "BLOCKS", "SIZE", "CREATED"), map(_commit_row, found))


@delta.command(epilog=f"Example: image-gateway delta reset {DELTA} 7 --yes")
@click.argument("delta_id", metavar="DELTA")
@click.argument("generation", type=click.IntRange(0))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@gateway_options
def reset(delta_id: str, generation: int, yes: bool, gateway: Gateway, as_json: bool) -> None:
    """Give DELTA the contents of an earlier GENERATION; 0 is the image as it was, or what a fork began with.

    That makes a new generation. The earlier ones, and with them what the delta holds now, are kept only if
    they have a snapshot: make one first, since a reset cannot be undone. Whoever writes the delta is stopped:
    what they have not committed is lost.
    """
    client = DeltasClient(gateway.client())
    if not yes:
        question = f"Reset delta {{}} to generation {generation} and stop its writer? This cannot be undone."
        _confirm(client, delta_id, question)
    _print_record(with_retries(lambda: client.reset(delta_id, generation)), as_json)


@delta.command(epilog=f"Example: image-gateway delta flatten {DELTA} --name 'Installed' --watch")
@click.argument("delta_id", metavar="DELTA")
@generation_option
@click.option("--name", required=True, help="Name of the new image.")
@click.option("--watch", is_flag=True, help="Show the progress until the image is complete.")
@gateway_options
def flatten(
    delta_id: str, generation: int | None, name: str, watch: bool, gateway: Gateway, as_json: bool
) -> None:
    """Make a new image of DELTA and the image below it. A worker of the gateway writes it."""
    client = gateway.client()
    deltas = DeltasClient(client)
    made = with_retries(lambda: deltas.flatten(delta_id, name=name, generation=generation))
    finish(JobsClient(client), made, watch, as_json)


@delta.command(epilog=f"Example: image-gateway delta delete {DELTA} --yes")
@click.argument("delta_id", metavar="DELTA")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@gateway_options
def delete(delta_id: str, yes: bool, gateway: Gateway, as_json: bool) -> None:
    """Delete DELTA, its snapshots and its data. The image below it stays."""
    client = DeltasClient(gateway.client())
    if not yes:
        _confirm(client, delta_id, "Delete delta {}?")
    with_retries(lambda: client.delete(delta_id))
    if as_json:
        print_json({"deltaId": delta_id, "deleted": True})
    else:
        click.echo(f"deleted {one_line(delta_id)}")


def _confirm(client: DeltasClient, delta_id: str, question: str) -> None:
    """Ask the question, with id and name of the delta in it; aborts the command if the answer is no."""
    record = with_retries(lambda: client.delta(delta_id))
    click.confirm(
        question.format(f"{one_line(delta_id)} ({one_line(record.get('name'))})"), abort=True, err=True
    )


def _row(record: dict[str, Any]) -> list[object]:
    stored = record.get("storedBytes")
    cells = [record.get(name) for name in ("deltaId", "name", "imageId", "generation")]
    return [*cells, None if stored is None else human_size(stored), record.get("created")]


def _commit_row(commit: dict[str, Any]) -> list[object]:
    size = commit.get("bytes")
    # A reset writes no blocks, and a commit at least one.
    blocks = "reset" if commit.get("blocks") == 0 else commit.get("blocks")
    shown_size = None if size is None else human_size(size)
    return [commit.get("generation"), commit.get("epoch"), blocks, shown_size, commit.get("created")]


def _print_made(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
    else:
        click.echo(f"delta {one_line(record.get('deltaId'))}")


def _print_record(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    for name, value in record.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        click.echo(f"{one_line(name) + ':':<14} {one_line(value)}")
