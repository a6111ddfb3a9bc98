"""`image-gateway doctor`: examines what the settings name, and says what is wrong and what mends it."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType

import click

from image_gateway.cli.findings import checks_document, print_checks, summarise
from image_gateway.cli.remote import EX_INTERRUPTED, print_json
from image_gateway.doctor.run import SUBJECT_SECONDS, choose, examine, subjects
from image_gateway.domain.findings import exit_status
from image_gateway.serving.environment import read_settings


@click.command(
    epilog="Examples:\n\n"
    "image-gateway doctor\n\n"
    "image-gateway doctor --only store --read-only\n\n"
    "image-gateway doctor --strict --json > doctor.json\n\n"
    "Exit status: 0 nothing is broken, 1 something is broken (also invalid settings), 2 wrong usage, or "
    "warnings with --strict, 130 interrupted."
)
@click.option(
    "--only",
    multiple=True,
    metavar="SUBJECT[,SUBJECT]",
    help=f"Examine only these: {', '.join(subjects())}.  [default: all]",
)
@click.option("--read-only", is_flag=True, help="Write nothing to the store; checks that would are skipped.")
@click.option("--strict", is_flag=True, help="Exit with status 2 if there are warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, at the end.")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(1, 3600),
    default=SUBJECT_SECONDS,
    show_default=True,
    callback=lambda _context, _parameter, value: _check_number(value),
    help="Time limit of each subject in seconds.",
)
def doctor(only: tuple[str, ...], read_only: bool, strict: bool, as_json: bool, seconds: float) -> None:
    """Examine what the settings name, and say what is wrong, why it matters, and what mends it.

    Run it where the gateway runs, with its settings and credentials. It writes probe objects of about 5 MiB
    to the bucket and removes them, also after Ctrl-C. Every finding is described in
    docs/reference/findings.md.
    """
    names = {name.strip() for part in only for name in part.split(",") if name.strip()}
    try:
        chosen = choose(names, read_only=read_only)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--only'") from None
    with (
        _stopping_by_signals() as stop,
        closing(examine(read_settings, chosen, stop=stop, seconds=seconds)) as made,
    ):
        checks = list(made) if as_json else print_checks(made)
    if as_json:
        print_json(checks_document(checks))
    else:
        click.echo(summarise(checks))
    if stop.is_set():
        sys.exit(EX_INTERRUPTED)
    sys.exit(exit_status(checks, strict=strict))


def _check_number(seconds: float) -> float:
    """Refuse NaN, which no comparison excludes from a range."""
    if math.isnan(seconds):
        raise click.BadParameter(f"{seconds} is not a number of seconds")
    return seconds


@contextmanager
def _stopping_by_signals() -> Iterator[threading.Event]:
    """Let the first SIGINT or SIGTERM set the event; the second one ends the process at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()
        click.echo("image-gateway: stopping, probe objects are removed; again to stop at once", err=True)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()
