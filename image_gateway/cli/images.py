"""`image-gateway images`: the user's images, listed, shown, renamed and deleted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from image_gateway.cli.progress import Terminal, human_size
from image_gateway.cli.remote import EXIT_STATUSES, gateway_options, print_json
from image_gateway.client.api import GatewayClient
from image_gateway.client.retry import Retrier

PATIENCE = 15.0
LARGEST_PAGE = 100
NO_TERMINAL_WIDTH = 160

Result = TypeVar("Result")


@click.group(epilog=EXIT_STATUSES)
def images() -> None:
    """List, show, rename and delete images through a gateway."""


@images.command("list", epilog="Example: image-gateway images list --name ubuntu")
@gateway_options
@click.option("--state", help="Only images in this state.")
@click.option("--name", help="Only images with this in their name.")
@click.option("--limit", type=click.IntRange(1), help="At most this many.  [default: all]")
def list_images(
    api: str, user: str, as_json: bool, state: str | None, name: str | None, limit: int | None
) -> None:
    """List the user's images, however many pages they fill."""
    found = list(islice(_all_images(GatewayClient(api, user), state, name, limit), limit))
    if as_json:
        print_json({"images": found})
    else:
        _print_table(found)


@images.command(epilog="Example: image-gateway images show 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10")
@click.argument("image_id")
@gateway_options
def show(image_id: str, api: str, user: str, as_json: bool) -> None:
    """Show all that the gateway knows of an image."""
    client = GatewayClient(api, user)
    _print_record(_patiently(lambda: client.image(image_id)), as_json)


@images.command(epilog="Example: image-gateway images rename 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 'My disk'")
@click.argument("image_id")
@click.argument("name")
@gateway_options
def rename(image_id: str, name: str, api: str, user: str, as_json: bool) -> None:
    """Give an image another name."""
    client = GatewayClient(api, user)
    _print_record(_patiently(lambda: client.change_image(image_id, name=name)), as_json)


@images.command(epilog="Example: image-gateway images delete 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 --yes")
@click.argument("image_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@gateway_options
def delete(image_id: str, yes: bool, api: str, user: str, as_json: bool) -> None:
    """Delete an image and its bytes."""
    client = GatewayClient(api, user)
    if not yes:
        record = _patiently(lambda: client.image(image_id))
        click.confirm(f"Delete image {image_id} ({_line(record.get('name'))})?", abort=True, err=True)
    _patiently(lambda: client.delete_image(image_id))
    if as_json:
        print_json({"imageId": image_id, "deleted": True})
    else:
        click.echo(f"deleted {image_id}")


def _patiently(work: Callable[[], Result]) -> Result:
    return Retrier(PATIENCE, say=Terminal().say).call(work)


def _all_images(
    client: GatewayClient, state: str | None, name: str | None, limit: int | None
) -> Iterator[dict[str, Any]]:
    filters: dict[str, str | int | None] = {
        "state": state,
        "name": name,
        "limit": min(limit or LARGEST_PAGE, LARGEST_PAGE),
    }
    cursor: str | None = None
    while True:
        page = _patiently(partial(client.list_images, **filters, cursor=cursor))
        yield from page["images"]
        cursor = page.get("nextCursor")
        if cursor is None:
            return


def _print_table(records: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("IMAGE", "NAME", "KIND", "STATE", "SIZE", "CREATED"):
        table.add_column(title, justify="right" if title == "SIZE" else "left", overflow="fold")
    for record in records:
        size = record.get("size")
        cells = [record["imageId"], record.get("name"), record.get("kind"), record.get("state")]
        cells += [None if size is None else human_size(size), record.get("created")]
        table.add_row(*(Text(_line(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH).print(table)


def _print_record(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    for name, value in record.items():
        click.echo(f"{name + ':':<14} {_line(value)}")


def _line(value: object) -> str:
    """A value on one line; what a name could do to a terminal is made visible."""
    if value is None:
        return "-"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))
