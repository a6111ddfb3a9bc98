"""`image-gateway worker`: runs background jobs."""

from __future__ import annotations

import signal
from types import FrameType

import click

from image_gateway.observability.logs import configure_logging
from image_gateway.serving.environment import read_settings
from image_gateway.worker import make_worker


@click.command(epilog="Example: image-gateway worker --concurrency 4")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    help="Number of jobs run at a time.  [default: WORKER_CONCURRENCY]",
)
@click.option("--once", is_flag=True, help="Run the jobs that wait, and exit when none is left.")
def worker(concurrency: int | None, once: bool) -> None:
    """Run background jobs: conversions, imports, publishing and verification.

    Any number of workers may run, on any number of machines. On SIGTERM a worker returns its jobs to the
    queue, and another one continues them; so it does when a worker was killed.
    """
    settings = read_settings()
    configure_logging(settings.log_level, settings.log_format)
    jobs = make_worker(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        jobs.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    click.echo("worker started", err=True)
    if once:
        while jobs.run_one():
            pass
    else:
        jobs.run(concurrency or settings.worker_concurrency)
