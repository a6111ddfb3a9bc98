"""`image-gateway verify`: checks manifest, chunks, headers and disk of an image, wherever it is stored."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial

import click

from image_gateway.cli.progress import Terminal, human_size
from image_gateway.cli.remote import (
    EX_FAILED,
    EX_INTERRUPTED,
    EX_TEMPORARY,
    PATIENCE,
    Gateway,
    gateway_options,
    one_line,
    print_json,
)
from image_gateway.cli.verify_target import (
    OpenTarget,
    RequestHeaders,
    TargetUnreadable,
    open_target,
    request_headers,
)
from image_gateway.client.verify_clients import CLIENTS
from image_gateway.protocol.verification import Problem
from image_gateway.services.verify_report import VerifyReport
from image_gateway.services.verifying import verify
from image_gateway.services.verifying_views import verify_views


@dataclass(frozen=True)
class Outcome:
    """The report of one command, with what identifies it."""

    target: str
    sample: int | None
    seed: int | None
    report: VerifyReport = field(default_factory=VerifyReport)
    client: str | None = None
    has_views: bool = False

    @property
    def status(self) -> int:
        """Exit status: a fault of the image is worse than a read that failed."""
        if self.report.problems:
            return EX_FAILED
        return EX_TEMPORARY if self.report.unreadable else 0


@click.command(
    "verify",
    epilog="Example: image-gateway verify https://images.example.com/v1/manifest.json --sample 100\n\n"
    "Exit status: 0 nothing is wrong, 1 something is wrong, 2 wrong usage, 75 something could not be read, "
    "78 invalid configuration, 130 interrupted.",
)
@click.argument("target")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Read only N chunks or blocks, at least the first and the last.  [default: all]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="S",
    help="Chooses the sample; the same seed gives the same chunks or blocks.  [default: random, and printed]",
)
@click.option(
    "--as",
    "client_name",
    metavar="CLIENT",
    callback=lambda _context, _parameter, value: _check_client(value),
    help=f"Read as this reader client does: {', '.join(CLIENTS)}.",
)
@click.option("--keep-going", is_flag=True, help="List all problems instead of stopping at the first.")
@request_headers
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Number of chunks read in parallel, all in memory.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=PATIENCE,
    show_default=True,
    help="Seconds to retry a read while the server is unavailable.",
)
@gateway_options
def verify_command(
    target: str,
    sample: int | None,
    seed: int | None,
    client_name: str | None,
    keep_going: bool,
    headers: RequestHeaders,
    parallel: int,
    patience: float,
    gateway: Gateway,
    as_json: bool,
) -> None:
    """Verify the image at TARGET: schema, sizes, hashes and headers, and that the disk equals the chunks.

    TARGET is an image id, the URL of a manifest, of a disk or with --as of a view, s3://BUCKET/PREFIX, or a
    folder. With --as, what this client reads is verified. An image id is read through the gateway as the
    user of --user or --token-file, which are not sent to other targets. A bucket is read with the store
    settings of the server.
    """
    if seed is not None and sample is None:
        raise click.UsageError("--seed needs --sample")
    if sample is not None and seed is None:
        seed = secrets.randbelow(2**32)
    terminal = Terminal()
    try:
        try:
            opened = open_target(
                target,
                gateway,
                headers,
                client_name,
                patience=patience,
                connections=parallel + 1,
                say=terminal.say,
            )
        except TargetUnreadable as error:
            report = VerifyReport(unreadable=[Problem("target", "unreadable", str(error))])
            _finish(Outcome(error.shown, sample, seed, report, client_name), as_json)
            return
        report = _verify_with_bar(
            opened, terminal, sample=sample, seed=seed or 0, keep_going=keep_going, parallel=parallel
        )
    except KeyboardInterrupt:
        terminal.say("interrupted")
        sys.exit(EX_INTERRUPTED)
    _finish(Outcome(opened.shown, sample, seed, report, client_name, bool(opened.views)), as_json)


def _verify_with_bar(
    opened: OpenTarget,
    terminal: Terminal,
    *,
    sample: int | None,
    seed: int,
    keep_going: bool,
    parallel: int,
) -> VerifyReport:
    """Verify the target; the progress bar appears when the number of bytes is known."""
    if not opened.is_readable or (opened.problems and not keep_going):
        return VerifyReport(problems=opened.problems)
    bars = ExitStack()
    advance: list[Callable[[int], None]] = []
    with bars:
        run = (
            partial(verify_views, opened.views) if opened.views else partial(verify, image_id=opened.image_id)
        )
        report = run(
            opened.source,
            sample=sample,
            seed=seed,
            keep_going=keep_going,
            parallel=parallel,
            on_bytes=lambda step: advance[0](step),
            on_total=lambda total: advance.append(bars.enter_context(terminal.bar("verifying", total))),
            sha256=opened.sha256,
        )
    report.problems[:0] = opened.problems
    return report


def _check_client(name: str | None) -> str | None:
    if name is not None and name not in CLIENTS:
        raise click.BadParameter(f"{name!r} cannot be verified; known clients: {', '.join(CLIENTS)}")
    return name


def _finish(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json(_document(outcome))
    else:
        _print_report(outcome)
    if outcome.status:
        sys.exit(outcome.status)


def _document(outcome: Outcome) -> dict[str, object]:
    report = outcome.report
    return {
        "target": outcome.target,
        "client": outcome.client,
        "ok": report.ok,
        "problems": [asdict(problem) for problem in report.problems],
        "omittedProblems": report.omitted,
        "unreadable": [asdict(problem) for problem in report.unreadable],
        "version": report.version,
        "chunkCount": report.chunk_count,
        "checkedChunks": report.checked_chunks,
        "checkedBytes": report.checked_bytes,
        "diskCompared": report.disk_compared,
        "hashCompared": report.hash_compared,
        "sample": outcome.sample,
        "seed": outcome.seed,
    }


def _print_report(outcome: Outcome) -> None:
    report = outcome.report
    for problem in report.problems:
        click.echo(f"wrong: {one_line(problem)}")
    if report.omitted:
        click.echo(f"wrong: {report.omitted} further problems")
    for problem in report.unreadable:
        click.echo(f"could not be read: {one_line(problem)}")
    verdict = "ok" if report.ok else "WRONG" if report.problems else "UNREADABLE"
    sampled = "" if outcome.sample is None else f" (seed {outcome.seed})"
    click.echo(
        f"{verdict}: {one_line(outcome.target)}: read {report.checked_chunks} of {report.chunk_count} "
        f"{_pieces(outcome)}{sampled}{_compared(outcome)}, "
        f"{human_size(report.checked_bytes)}"
    )
    if report.version is not None:
        click.echo(f"version {one_line(report.version)}")


def _pieces(outcome: Outcome) -> str:
    if outcome.has_views:
        return f"blocks of {outcome.client}"
    return "chunks" if outcome.report.version is not None else "ranges of the disk, which has no manifest"


def _compared(outcome: Outcome) -> str:
    report = outcome.report
    if not outcome.has_views:
        return " and compared with the disk" if report.disk_compared and report.version is not None else ""
    with_what = [("the image's SHA-256", report.hash_compared), ("the disk", report.disk_compared)]
    names = " and ".join(name for name, was_compared in with_what if was_compared)
    return f" and compared with {names or 'nothing'}"
