"""`image-gateway db`: catalog migrations, and what follows a restore from a backup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
from sqlalchemy import Engine

from image_gateway.catalog.database import (
    current_revision,
    is_newer,
    newest_revision,
    open_engine,
    require_current,
    upgrade,
)
from image_gateway.cli.remote import dump_json, one_line
from image_gateway.components import open_catalog, open_store
from image_gateway.services.restoring import RestorePlan, RestoreReport, Restoring
from image_gateway.serving.environment import read_settings

# One statement revokes all leases, which takes longer than any of a request.
STATEMENT_SECONDS = 3600


@click.group()
def db() -> None:
    """Migrate the database named by DATABASE_URL, and complete its restore from a backup."""


@db.command("upgrade", epilog="Example: DATABASE_URL=sqlite:////var/lib/images.db image-gateway db upgrade")
def upgrade_command() -> None:
    """Upgrade the database schema to the newest revision.

    A schema that a newer version has upgraded is left as it is; the exit status is 1 if this version cannot
    use it.
    """
    with _open() as engine:
        before = current_revision(engine)
        if is_newer(before):
            require_current(engine)
            click.echo(f"tables: {before}, newer than {newest_revision()}: nothing to do")
            return
        upgrade(engine)
        click.echo(f"tables: {before or 'empty'} -> {current_revision(engine)}")


@db.command()
def current() -> None:
    """Print the revision of the database schema and the required one."""
    with _open() as engine:
        click.echo(f"tables: {current_revision(engine) or 'empty'}, needed: {newest_revision()}")


@db.command(epilog="Example: image-gateway db restored --dry-run")
@click.option("--dry-run", is_flag=True, help="Only report what would be done.")
@click.option("--revoke-links", is_flag=True, help="Revoke all share links.")
@click.option("--delete-vanished", is_flag=True, help="Delete the records of images whose disk is gone.")
@click.option("--adopt", is_flag=True, help="Make private records of disks that no record knows.")
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="USER",
    help="A user who may own such disks; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
def restored(
    dry_run: bool,
    revoke_links: bool,
    delete_vanished: bool,
    adopt: bool,
    owners: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make records and bucket agree after the database was restored from a backup.

    Run it before gateways and workers start. It revokes all leases and ends all sessions, because some of
    them may have been revoked since the backup. It reports images whose disk is gone, disks that no
    record knows, and deltas that lost commits or objects. From then on the sweeper keeps uploads that began
    before. Repeating it is safe.
    """
    settings = read_settings()
    restoring = Restoring(
        open_catalog(replace(settings, catalog_timeout_seconds=STATEMENT_SECONDS)),
        open_store(settings),
        settings.image_base_path,
        settings.multipart_part_size_bytes,
        time.time,
    )
    report = restoring.run(RestorePlan(dry_run, revoke_links, delete_vanished, adopt, owners))
    if as_json:
        click.echo(dump_json({**report.as_document(), "dry_run": dry_run}))
    else:
        _show_restored(report, RestorePlan(dry_run, revoke_links, delete_vanished, adopt))


def _show_restored(report: RestoreReport, plan: RestorePlan) -> None:
    would = "would be " if plan.dry_run else ""
    links = f"{would}revoked" if plan.revoke_links else "can be redeemed (--revoke-links revokes them)"
    vanished = f"{would}deleted" if plan.delete_vanished else "kept (--delete-vanished deletes the records)"
    click.echo(
        f"{would}revoked: {report.revoked_leases} leases\n"
        f"{would}ended: {report.ended_sessions} sessions\n"
        f"share links: {report.share_links} {links}\n"
        f"checked: {report.checked_images} complete images\n"
        f"without a disk: {len(report.vanished)} images, {vanished}\n"
        f"{would}corrected: {len(report.republished)} images with a newer manifest\n"
        f"disks without a record: {len(report.unknown)}, {len(report.adopted)} of them adopted\n"
        f"{would}advanced: {len(report.advanced_deltas)} deltas whose newest generations are lost"
    )
    for image_id in report.vanished:
        click.echo(f"vanished: {one_line(image_id)}")
    for image_id in report.changed:
        click.echo(f"cannot be read, the disk has another ETag than the record: {one_line(image_id)}")
    for disk in report.unknown:
        owner = f"owner {disk.owner}" if disk.owner else "unknown owner (--owner USER, if you know who it is)"
        done = "adopted" if disk.image_id in report.adopted else "without a record"
        modified = f"{disk.last_modified:%Y-%m-%d %H:%M} UTC"
        click.echo(one_line(f"{done}: {disk.key}, {disk.size} bytes, {modified}, {owner}"))
    for delta_id in report.damaged_deltas:
        click.echo(f"cannot be read wholly, objects are missing or damaged: delta {one_line(delta_id)}")
    for delta_id in report.advanced_deltas:
        click.echo(f"what was committed after the backup is lost: delta {one_line(delta_id)}")
    for delta_id in report.unknown_deltas:
        click.echo(f"objects without a record: delta {one_line(delta_id)}")
    for prefix in report.unknown_prefixes:
        click.echo(f"objects without a record and without a disk under: {one_line(prefix)}")


@contextmanager
def _open() -> Iterator[Engine]:
    engine = open_engine(read_settings().database_url)
    try:
        yield engine
    finally:
        engine.dispose()
