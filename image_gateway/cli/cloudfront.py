"""`image-gateway cloudfront`: keys of a distribution, and checks of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import Any

import click

from image_gateway.cdn.key_generation import generate_key_pair
from image_gateway.cli.findings import checks_document, print_checks, summarise
from image_gateway.cli.private_files import write_private
from image_gateway.cli.remote import EX_INTERRUPTED, ConfigError, one_line, print_json
from image_gateway.doctor.cloudfront import check_cloudfront
from image_gateway.doctor.cloudfront_rotation import RotatedKey, Rotation, Step
from image_gateway.domain.findings import Check, exit_status
from image_gateway.serving.environment import read_settings

_KEY_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
PRIVATE_KEY, PUBLIC_KEY = "cloudfront-private-key.pem", "cloudfront-public-key.pem"
_STEPS = {
    Step.MAKE_KEY: "make a key pair: image-gateway cloudfront keygen --out new-key",
    Step.ADD_KEY: (
        "deploy the template with the new public key as FirstPublicKey or SecondPublicKey, whichever is "
        "empty; then run this with --new-key-id and --new-key until the new key is accepted"
    ),
    Step.SWITCH: (
        "give every gateway the new CLOUDFRONT_KEY_PAIR_ID and CLOUDFRONT_PRIVATE_KEY_PEM, restart them, "
        "and note the time; deploy with SigningKey=second (or first), so that the outputs name the new key"
    ),
    Step.WAIT: (
        "wait until the last signature of the old key has expired (CLOUDFRONT_SIGNED_TTL_SECONDS and a "
        "twelfth of it); run this with --old-key-id, --old-key and --switched-at to see whether it has"
    ),
    Step.REMOVE_KEY: "deploy the template with an empty parameter in place of the old public key",
    Step.DONE: "delete the old private key; the rotation is done",
}


class _UtcTime(click.DateTime):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a time in UTC such as 2026-11-30T18:00Z", param, ctx)


@click.group()
def cloudfront() -> None:
    """Make and rotate the keys of a CloudFront distribution, and check it from outside."""


@cloudfront.command(epilog="Example: image-gateway cloudfront keygen --out keys")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to write to; it is created if it is missing.  [default: the current one]",
)
@click.option("--force", is_flag=True, help="Replace key files that exist.")
def keygen(out: Path, force: bool) -> None:
    """Make an RSA key pair of 2048 bits, and say where each half belongs.

    The private key is written with mode 0600 and is not shown.
    """
    private, public = out / PRIVATE_KEY, out / PUBLIC_KEY
    existing = [str(path) for path in (private, public) if path.exists()]
    if existing and not force:
        raise click.UsageError(
            f"{' and '.join(existing)} exist: choose another --out, or replace with --force"
        )
    pair = generate_key_pair()
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(private, pair.private_pem)
    public.write_text(pair.public_pem, encoding="ascii")
    for line in (
        f"wrote {private} (mode 0600): keep it secret",
        f"wrote {public}",
        "",
        "The template gets the public key (in a rotation, as the parameter that is empty):",
        f'  FirstPublicKey="$(cat {quote(str(public))})"',
        "The gateway gets the private key, and the id that CloudFront gives the public key:",
        f"  CLOUDFRONT_PRIVATE_KEY_PEM={private.resolve()}",
        "  CLOUDFRONT_KEY_PAIR_ID=<output CloudFrontKeyPairId of the stack>",
    ):
        click.echo(one_line(line))


@cloudfront.command(
    epilog="Example: image-gateway cloudfront check --public-path /public\n\n"
    "Exit status: 0 nothing is broken, 1 something is broken, 2 wrong usage, or warnings with --strict, "
    "78 unusable settings, 130 interrupted."
)
@click.option(
    "--public-path", metavar="PATH", help="Path that needs no signature, as PublicPath of the template."
)
@click.option("--strict", is_flag=True, help="Exit with status 2 if there are warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def check(public_path: str | None, strict: bool, as_json: bool) -> None:
    """Check the distribution of CLOUDFRONT_DOMAIN from outside, with real requests.

    It reads two images of the catalog, or small objects that it writes below IMAGE_BASE_PATH and deletes.
    Every finding is described in docs/reference/findings.md.
    """
    settings = read_settings()
    if not settings.has_cloudfront:
        raise ConfigError("CLOUDFRONT_DOMAIN is not set: there is no distribution to check")
    checks = check_cloudfront(settings, public_path=public_path)
    with _cleaning_up(checks):
        made = list(checks) if as_json else print_checks(checks)
    if as_json:
        print_json(checks_document(made))
    else:
        click.echo(summarise(made))
    sys.exit(exit_status(made, strict=strict))


@cloudfront.command(
    epilog="Example: image-gateway cloudfront rotate --new-key-id K3EXAMPLE --new-key new-key.pem\n\n"
    "Exit status: 0 the next step is marked, 1 the distribution does not answer, or refuses a key that "
    "readers still need, 2 wrong usage, 78 unusable settings, 130 interrupted."
)
@click.option("--new-key-id", metavar="ID", help="Id that CloudFront gave the new public key.")
@click.option("--new-key", type=_KEY_FILE, help="File of the new private key.")
@click.option("--old-key-id", metavar="ID", help="Id of the public key that is to go.")
@click.option("--old-key", type=_KEY_FILE, help="File of the old private key.")
@click.option(
    "--switched-at",
    type=_UtcTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"]),
    metavar="TIME",
    help="When the last gateway got the new key, in UTC, like 2026-11-30T18:00Z.",
)
def rotate(
    new_key_id: str | None,
    new_key: Path | None,
    old_key_id: str | None,
    old_key: Path | None,
    switched_at: datetime | None,
) -> None:
    """Say the steps of a rotation of keys, and check by signed requests which one comes next.

    It changes nothing; without an image to read, it writes a probe object and deletes it.
    The step that comes next is marked with >.
    """
    settings = read_settings()
    if not settings.has_cloudfront:
        raise ConfigError("CLOUDFRONT_DOMAIN is not set: there is no key to rotate")
    rotation = Rotation(
        settings,
        old=_key("old", old_key_id, old_key),
        new=_key("new", new_key_id, new_key),
        switched_at=switched_at.replace(tzinfo=UTC) if switched_at else None,
    )
    checks = rotation.checks()
    try:
        with _cleaning_up(checks):
            made = print_checks(checks)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _print_steps(rotation)
    sys.exit(exit_status(made, strict=False))


@contextmanager
def _cleaning_up(checks: Iterator[Check]) -> Iterator[None]:
    """Let the checks delete what they wrote also after SIGTERM, Ctrl-C, and when nobody reads the output."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(EX_INTERRUPTED)
    finally:
        if isinstance(checks, Generator):
            checks.close()
        signal.signal(signal.SIGTERM, before)


def _key(name: str, key_id: str | None, file: Path | None) -> RotatedKey | None:
    if key_id is None and file is None:
        return None
    if key_id is None or file is None:
        raise click.UsageError(f"--{name}-key-id and --{name}-key belong together")
    return RotatedKey(key_id, str(file))


def _print_steps(rotation: Rotation) -> None:
    click.echo()
    for step, text in _STEPS.items():
        mark = ">" if step is rotation.step else " "
        click.echo(one_line(f"{mark} {step.value}. {text}"))
    expiry = rotation.expires_at
    if rotation.step is Step.WAIT and expiry is not None:
        click.echo(f"\nThe last signature of the old key expires at {expiry:%Y-%m-%dT%H:%M:%SZ}.")
