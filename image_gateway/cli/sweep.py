"""`image-gateway sweep`: cleans up after abandoned uploads and deletions."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from image_gateway.cli.remote import dump_json, one_line
from image_gateway.components import make_block_cache, open_catalog, open_store
from image_gateway.errors import GatewayError
from image_gateway.observability.metrics import write_sweep
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from image_gateway.serving.environment import read_settings

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType[timedelta]):
    """A duration such as 90s, 30m, 12h or 7d."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a duration such as 90s, 30m, 12h or 7d", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.command(epilog="Example: image-gateway sweep --dry-run")
@click.option(
    "--older-than",
    type=Duration(),
    default="1h",
    show_default=True,
    help="Minimum age for aborting uploads without a catalog record.",
)
@click.option("--dry-run", is_flag=True, help="Only report what would be done.")
@click.option("--every", type=Duration(), help="Repeat at this interval until stopped.")
@click.option(
    "--cache-only",
    is_flag=True,
    help="Only remove deleted images from the local block cache (RANGE_CACHE_DIR).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one line of JSON.")
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write metrics for the textfile collector of Prometheus node_exporter; must end in .prom.",
)
def sweep(
    older_than: timedelta,
    dry_run: bool,
    every: timedelta | None,
    cache_only: bool,
    as_json: bool,
    metrics_file: Path | None,
) -> None:
    """Abort idle uploads, and delete objects of failed and deleted images and deltas, and old data of deltas.

    Safe to run beside the gateway and other sweeps; run it about every hour. Images without an object and
    objects without a record are reported but not changed. The exit status is 1 if work was left for later or
    an object has vanished.
    """
    if dry_run and metrics_file:
        raise click.UsageError("--metrics-file cannot be combined with --dry-run")
    settings = read_settings()
    sweeper = Sweeper(
        open_catalog(settings),
        open_store(settings),
        settings.image_base_path,
        time.time,
        make_block_cache(settings),
        keep_sources=settings.keep_source_objects,
        audit_kept=timedelta(days=settings.audit_days),
        hash_limit=settings.sha256_check_max_bytes,
    )
    show = _show_json if as_json else _show_text

    def sweep_once() -> bool:
        began = time.monotonic()
        if cache_only:
            report = sweeper.sweep_cache(SweepReport(), dry_run=dry_run)
        else:
            report = sweeper.sweep(older_than=older_than, dry_run=dry_run, on_step=_show_step)
        if metrics_file is not None:
            numbers = report.as_numbers()
            write_sweep(metrics_file, numbers, finished_at=time.time(), seconds=time.monotonic() - began)
        show(report, dry_run)
        return not (report.vanished or report.left_for_later)

    if every is not None:
        _repeat(sweep_once, every)
    elif not sweep_once():
        sys.exit(1)


def _repeat(sweep_once: Callable[[], bool], every: timedelta) -> None:
    """Sweep at an interval until SIGTERM or SIGINT; a failed sweep is retried at the next interval."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.is_set():
        try:
            sweep_once()
        except GatewayError as error:
            click.echo(f"sweep failed: {one_line(error)}", err=True)
        stopped.wait(every.total_seconds())


def _show_step(step: str) -> None:
    click.echo(f"… {one_line(step)}", err=True)


def _show_json(report: SweepReport, dry_run: bool) -> None:
    click.echo(dump_json({**asdict(report), "dry_run": dry_run}))


def _show_text(report: SweepReport, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    click.echo(
        f"{would}aborted: {report.expired_uploads} idle uploads\n"
        f"{would}completed: {report.completed_uploads} idle uploads whose object is in the store\n"
        f"{would}aborted: {report.orphaned_uploads} uploads without a record, "
        f"{report.kept_uploads} kept from before the catalog was restored\n"
        f"{would}purged: {report.purged_images} failed or deleted images\n"
        f"checked: {report.checked_images} complete images, {len(report.vanished)} without an object\n"
        f"{would}deleted: {report.forgotten_leases} expired leases\n"
        f"{would}deleted: {report.forgotten_sessions} expired sessions\n"
        f"{would}deleted: {report.forgotten_audit_entries} old audit entries\n"
        f"{would}ended: {report.ended_jobs} jobs of failed and deleted images\n"
        f"returned to the queue: {report.requeued_jobs} jobs of dead workers\n"
        f"{would}deleted: {report.forgotten_jobs} old jobs, {report.deleted_sources} converted sources\n"
        f"{would}deleted: {report.deleted_delta_objects} objects of deltas "
        f"({report.deleted_delta_bytes} bytes), {report.kept_delta_objects} kept from before the catalog was "
        "restored\n"
        f"{would}deleted: {report.ended_deltas} deltas of deleted images, {report.released_snapshots} "
        f"snapshots of ended jobs, {report.forgotten_commits} old commits of deltas\n"
        f"forgotten: {report.purged_deltas} deleted deltas without objects\n"
        f"{would}removed from the block cache: {report.uncached_images} deleted images\n"
        f"left for later: {report.left_for_later}"
    )
    for image_id in report.vanished:
        click.echo(f"vanished: {one_line(image_id)}")
    for prefix in report.unknown:
        click.echo(f"objects without a record under: {one_line(prefix)}")
