"""`image-gateway trace`: makes an image's boot trace from the log of one boot."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import click

from image_gateway.catalog.repository import Catalog
from image_gateway.cli.remote import one_line
from image_gateway.components import open_catalog
from image_gateway.domain.clock import now_of
from image_gateway.domain.images import DiskFacts, ImageRecord
from image_gateway.errors import InvalidState, NotFound
from image_gateway.protocol.boot_trace import BLOCK_SIZE, MAX_BLOCKS, trace_reads
from image_gateway.protocol.recorded_reads import MAX_READS, RecordedReads
from image_gateway.services.reading.access import canonical_id, disk_of
from image_gateway.serving.environment import read_settings

MAX_LINE = 64 * 1024
_HOW_TO_RECORD = "make a lease with `record: true` (POST /v1/leases), boot from its URL, and give that log"


@click.command(
    epilog="Example: image-gateway trace 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 --log gateway.log",
)
@click.argument("image_id")
@click.option(
    "--log",
    "logs",
    type=click.File("rb"),
    multiple=True,
    help="Log of the gateway with LOG_FORMAT=json, - for standard input; may be repeated.",
)
@click.option("--lease", "lease_id", help="Id of the lease that recorded the boot, if the log has several.")
@click.option("--dry-run", is_flag=True, help="Only print what would be stored.")
@click.option("--remove", is_flag=True, help="Remove the image's trace.")
def trace(
    image_id: str, logs: tuple[BinaryIO, ...], lease_id: str | None, dry_run: bool, remove: bool
) -> None:
    """Make the boot trace of the complete image IMAGE_ID, in place of an earlier one.

    The trace lists the blocks that a boot reads, in order. Clients get it as `prefetch`, and the gateway
    fills its block cache ahead of readers that follow it. Record a boot by a lease with `record: true`.
    """
    if remove == bool(logs) or (remove and (lease_id or dry_run)):
        raise click.UsageError("give the log of a boot by --log, or --remove alone")
    catalog = open_catalog(read_settings())
    record, disk = _find(catalog, image_id)
    if remove:
        removed = catalog.boot_traces.delete(record.image_id)
        click.echo("removed the boot trace" if removed else "the image has no boot trace")
        return
    reads = _reads_of(record, disk, logs, lease_id)
    found = trace_reads(reads)
    share = 100 * found.bytes_of(disk.size) / disk.size
    click.echo(
        f"{len(reads)} reads: {found.block_count} blocks of {BLOCK_SIZE // 1024} KiB, "
        f"{found.bytes_of(disk.size)} bytes, {share:.1f} % of the image"
    )
    if found.block_count == MAX_BLOCKS:
        click.echo(f"later reads are left out: a boot trace has at most {MAX_BLOCKS} blocks", err=True)
    if dry_run:
        return
    if not catalog.boot_traces.replace(record.image_id, record.version, found, now_of(time.time)):
        raise InvalidState("the image was deleted meanwhile")
    click.echo("stored the boot trace")


def _find(catalog: Catalog, image_id: str) -> tuple[ImageRecord, DiskFacts]:
    canonical = canonical_id(image_id)
    record = catalog.find(canonical) if canonical else None
    if record is None:
        raise NotFound("there is no such image")
    return record, disk_of(record)


def _reads_of(
    record: ImageRecord, disk: DiskFacts, logs: Iterable[BinaryIO], lease_id: str | None
) -> list[tuple[int, int]]:
    """Return the reads of one lease; raises ClickException where that is impossible."""
    found = RecordedReads(record.image_id, disk.size)
    for log in logs:
        found.add(_lines_of(log))
    if found.dropped:
        click.echo(f"left out {found.dropped} reads after the first {MAX_READS}", err=True)
    leases = found.leases
    if lease_id is not None:
        leases = {lease: count for lease, count in leases.items() if lease == lease_id.lower()}
    if not leases:
        raise click.ClickException(_why_nothing(found))
    if len(leases) > 1:
        listed = "".join(f"\n  {one_line(lease)}: {count} reads" for lease, count in leases.items())
        raise click.ClickException(f"several leases recorded reads of this image, choose by --lease:{listed}")
    return found.of_lease(next(iter(leases)))


def _why_nothing(found: RecordedReads) -> str:
    if found.leases:
        return "the log has recorded reads of this image, but none by this lease"
    if found.is_text and not found.is_json:
        return "the log is written as text: start the gateway with LOG_FORMAT=json, and record the boot again"
    if not found.is_json:
        return f"this is no log of the gateway with LOG_FORMAT=json: {_HOW_TO_RECORD}"
    return f"the log has no recorded read of this image: {_HOW_TO_RECORD}"


def _lines_of(log: BinaryIO) -> Iterator[bytes]:
    """Yield lines, cut at a length that no line of the gateway has."""
    while line := log.readline(MAX_LINE):
        yield line
