"""`image-gateway check`: what reader clients would do with a URL, of a gateway or of any other server."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import click

from image_gateway.cli.findings import checks_document, count_of, print_checks, summarise
from image_gateway.cli.progress import human_size
from image_gateway.cli.remote import EX_INTERRUPTED, one_line, print_json, print_table, warn_if_overheard
from image_gateway.cli.verify_target import RequestHeaders, check_target_url, request_headers
from image_gateway.client.credentials import is_address
from image_gateway.client.verify_http import shown_url
from image_gateway.domain.findings import exit_status
from image_gateway.url_check.answers import Limits
from image_gateway.url_check.check import check_url
from image_gateway.url_check.clients import CLIENTS, UrlKind
from image_gateway.url_check.report import UrlReport
from image_gateway.url_check.target import Target


@click.command(
    "check",
    epilog="Examples:\n\n"
    "  image-gateway check https://images.example.com/disk.img --as v86 --origin https://page.example.com\n\n"
    "  image-gateway check https://images.example.com/v1/manifest.json --chunked --json\n\n"
    "Exit status: 0 nothing is broken, 1 something is broken, 2 wrong usage, or warnings with --strict, "
    "130 interrupted.",
)
@click.argument("url")
@click.option(
    "--as",
    "client",
    type=click.Choice(list(CLIENTS)),
    help="Report only what matters to this reader client.  [default: all clients]",
)
@click.option("--chunked", is_flag=True, help="URL is a manifest, or a disk with a manifest beside it.")
@click.option(
    "--origin",
    metavar="ORIGIN",
    callback=lambda _context, _parameter, value: _check_origin(value),
    help="Origin of the page that reads, such as https://page.example.com. Without it and --as, missing "
    "permissions of pages are no findings.",
)
@request_headers
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=Limits.max_bytes,
    show_default=True,
    metavar="N",
    help="Read at most N bytes of bodies.",
)
@click.option("--strict", is_flag=True, help="Exit with status 2 if there are warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def check(
    url: str,
    client: str | None,
    chunked: bool,
    origin: str | None,
    headers: RequestHeaders,
    max_bytes: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Check how URL behaves: ranges, HEAD, ETag, encoding, CORS, caching, redirects, and who can read it.

    URL is a disk, the manifest of a chunked image, or what an emulator is given (…/blk.txt,
    …/v86/BLOCK_SIZE/disk.img, …/disk.ext2.meta, …/config.json). Up to forty requests are sent, one after the
    other. Bytes are compared where reads overlap; `image-gateway verify` compares all of them.
    """
    check_target_url(url, "URL")
    if chunked and client is not None and UrlKind.CHUNKED not in CLIENTS[client].reads:
        raise click.UsageError(f"--chunked cannot be combined with --as {client}, which reads no chunks")
    if headers.headers:
        warn_if_overheard(url)
    try:
        report = check_url(Target(url, headers.headers, client, origin, chunked), Limits(max_bytes=max_bytes))
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(EX_INTERRUPTED)
    if as_json:
        print_json(_document(url, client, origin, report))
    else:
        _print_report(url, report)
    status = exit_status(report.checks, strict=strict)
    if status:
        sys.exit(status)


def _check_origin(value: str | None) -> str | None:
    if value is not None and not is_address(value):
        raise click.BadParameter(f"{value!r} is not an origin such as https://page.example.com")
    return None if value is None else _serialise_origin(value)


def _serialise_origin(value: str) -> str:
    """Return an origin as browsers send it: without the default port (HTML, ASCII serialisation)."""
    parts = urlsplit(value.rstrip("/").lower())
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}"


def _print_report(url: str, report: UrlReport) -> None:
    click.echo(f"{one_line(shown_url(url))}: {report.kind.value}")
    for name, value in report.facts.items():
        click.echo(f"  {name}: {one_line(value)}")
    click.echo()
    print_checks(report.checks)
    click.echo()
    print_table(
        ("CLIENT", "VERDICT", "BECAUSE"),
        [(each.client, each.verdict.value, each.because) for each in report.verdicts],
    )
    click.echo()
    sent = f"{count_of(report.requests, 'request')}, {human_size(report.bytes_read)} read"
    click.echo(f"{summarise(report.checks)}; {sent}")


def _document(url: str, client: str | None, origin: str | None, report: UrlReport) -> dict[str, object]:
    return {
        "url": shown_url(url),
        "kind": report.kind.name.lower(),
        "client": client,
        "origin": origin,
        "facts": report.facts,
        **checks_document(report.checks),
        "clients": [
            {"client": each.client, "verdict": each.verdict.name.lower(), "because": each.because}
            for each in report.verdicts
        ],
        "requests": report.requests,
        "bytesRead": report.bytes_read,
    }
