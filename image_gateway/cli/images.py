"""`image-gateway images`: lists, shows, renames and deletes images."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

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
from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError, ClientError

MAX_PAGE_SIZE = 100


@click.group(epilog=EXIT_STATUSES)
def images() -> None:
    """List, show, rename and delete images through a gateway."""


@images.command("list", epilog="Example: image-gateway images list --name ubuntu")
@gateway_options
@click.option("--state", help="Only images in this state.")
@click.option("--name", help="Only images whose name contains this text.")
@click.option("--shared", is_flag=True, help="List images that others share with the user instead.")
@click.option("--limit", type=click.IntRange(1), help="Maximum number of images.  [default: all]")
def list_images(
    gateway: Gateway, as_json: bool, state: str | None, name: str | None, shared: bool, limit: int | None
) -> None:
    """List the user's images."""
    records = all_pages(
        gateway.client().list_images,
        "images",
        state=state,
        name=name,
        shared="true" if shared else None,
        limit=min(limit or MAX_PAGE_SIZE, MAX_PAGE_SIZE),
    )
    found = list(islice(records, limit))
    if as_json:
        print_json({"images": found})
    else:
        print_table(("IMAGE", "NAME", "KIND", "STATE", "SIZE", "CREATED"), map(_row, found))


@images.command(epilog="Example: image-gateway images show 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10")
@click.argument("image_id")
@gateway_options
def show(image_id: str, gateway: Gateway, as_json: bool) -> None:
    """Show the record of an image."""
    client = gateway.client()
    _print_record(with_retries(lambda: client.image(image_id)), as_json)


@images.command(epilog="Example: image-gateway images rename 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 'My disk'")
@click.argument("image_id")
@click.argument("name")
@gateway_options
def rename(image_id: str, name: str, gateway: Gateway, as_json: bool) -> None:
    """Rename an image."""
    client = gateway.client()
    _print_record(with_retries(lambda: client.change_image(image_id, name=name)), as_json)


@images.command(epilog="Example: image-gateway images delete 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 --yes")
@click.argument("image_id")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--cascade", is_flag=True, help="Delete the deltas of the image, too, whoever owns them.")
@gateway_options
def delete(image_id: str, yes: bool, cascade: bool, gateway: Gateway, as_json: bool) -> None:
    """Delete an image and its data. An image with deltas is only deleted with --cascade."""
    client = gateway.client()
    if not yes:
        record = with_retries(lambda: client.image(image_id))
        click.confirm(
            f"Delete image {one_line(image_id)} ({one_line(record.get('name'))})?", abort=True, err=True
        )
    with_retries(lambda: _delete(client, image_id, cascade))
    if as_json:
        print_json({"imageId": image_id, "deleted": True})
    else:
        click.echo(f"deleted {one_line(image_id)}")


def _delete(client: GatewayClient, image_id: str, cascade: bool) -> None:
    try:
        client.delete_image(image_id, cascade=cascade)
    except ApiError as error:
        if error.code != "HAS_DELTAS":
            raise
        list_them = f"image-gateway delta list --image {image_id}"
        advice = (f"  your own are shown by: {list_them}", "  to delete them, too: give --cascade")
        raise ClientError(str(error), advice=advice) from None


def _row(record: dict[str, Any]) -> list[object]:
    size = record.get("size")
    cells = [record.get(name) for name in ("imageId", "name", "kind", "state")]
    return [*cells, None if size is None else human_size(size), record.get("created")]


def _print_record(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    for name, value in record.items():
        click.echo(f"{one_line(name) + ':':<14} {one_line(value)}")
