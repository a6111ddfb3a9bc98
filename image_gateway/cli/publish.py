"""`image-gateway publish`: publishes an image as chunks."""

from __future__ import annotations

import click

from image_gateway.cli.progress import byte_bar
from image_gateway.components import open_catalog, open_store
from image_gateway.protocol.cache_control import check_cache_control
from image_gateway.services.published_objects import CHECKSUMS
from image_gateway.services.publishing import Published, Publishing
from image_gateway.serving.environment import read_settings


def _check_cache_control(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else check_cache_control(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    epilog="Example: image-gateway publish 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 --chunk-size 1048576",
)
@click.argument("image_id")
@click.option(
    "--chunk-size",
    type=click.IntRange(512, 64 * 1024 * 1024),
    help="Chunk size in bytes, a multiple of 512.  [default: 4194304]",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Number of chunks processed in parallel, all in memory.",
)
@click.option(
    "--checksum",
    type=click.Choice(CHECKSUMS),
    help="Hash of each chunk in the manifest; without, only the whole disk has one.  [default: sha256]",
)
@click.option(
    "--cache-control",
    metavar="VALUE",
    callback=_check_cache_control,
    help="Cache-Control of manifest and chunks; must hold no-transform.  [default: IMAGE_CACHE_CONTROL]",
)
def publish(
    image_id: str, chunk_size: int | None, parallel: int, checksum: str | None, cache_control: str | None
) -> None:
    """Split the complete raw image IMAGE_ID into chunks that browsers read with plain GET requests.

    The manifest is written last. If a run is interrupted, run the same command again to resume it. Options of
    a published image cannot change.
    """
    settings = read_settings()
    publishing = Publishing(
        open_catalog(settings),
        open_store(settings),
        settings.cache_control,
        latest=settings.publish_latest,
    )
    result = publish_with_bar(
        publishing,
        image_id,
        chunk_size=chunk_size,
        parallel=parallel,
        checksum=checksum,
        cache_control=cache_control,
    )
    copied = f", {result.copied} of them copied in the store" if result.copied else ""
    click.echo(
        f"published {result.geometry.count} chunks of {result.geometry.chunk_size} bytes "
        f"({result.sent} sent{copied}, {result.kept} already stored)\nsha256 {result.disk_sha256}"
    )


def publish_with_bar(
    publishing: Publishing,
    image_id: str,
    *,
    chunk_size: int | None = None,
    parallel: int = 4,
    checksum: str | None = None,
    cache_control: str | None = None,
) -> Published:
    """Publish an image and show a progress bar."""
    with byte_bar("publishing chunks", publishing.size_of(image_id)) as advance:
        return publishing.publish(
            image_id,
            chunk_size=chunk_size,
            parallel=parallel,
            on_bytes=advance,
            checksum=checksum,
            cache_control=cache_control,
        )
