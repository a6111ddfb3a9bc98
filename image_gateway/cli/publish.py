"""`image-gateway publish`: an image cut into chunks."""

from __future__ import annotations

import click

from image_gateway.app import open_catalog, open_store
from image_gateway.cli.progress import byte_bar
from image_gateway.services.publishing import Published, Publishing
from image_gateway.serving.environment import read_settings


@click.command(
    epilog="Example: image-gateway publish 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 --chunk-size 1048576",
)
@click.argument("image_id")
@click.option(
    "--chunk-size",
    type=click.IntRange(512, 64 * 1024 * 1024),
    help="Bytes of a chunk, a multiple of 512.  [default: 4194304]",
)
@click.option(
    "--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Chunks in memory at a time."
)
def publish(image_id: str, chunk_size: int | None, parallel: int) -> None:
    """Cut the complete raw image IMAGE_ID into chunks that browsers read by plain GETs.

    Chunks are written first and the manifest last; a run that died is continued by the same command.
    """
    settings = read_settings()
    publishing = Publishing(open_catalog(settings), open_store(settings), settings.cache_control)
    result = publish_with_bar(publishing, image_id, chunk_size=chunk_size, parallel=parallel)
    click.echo(
        f"published {result.geometry.count} chunks of {result.geometry.chunk_size} bytes "
        f"({result.sent} sent, {result.kept} were there)\nsha256 {result.disk_sha256}"
    )


def publish_with_bar(
    publishing: Publishing, image_id: str, *, chunk_size: int | None = None, parallel: int = 4
) -> Published:
    """Publish behind a progress bar."""
    with byte_bar("publishing chunks", publishing.size_of(image_id)) as advance:
        return publishing.publish(image_id, chunk_size=chunk_size, parallel=parallel, on_bytes=advance)
