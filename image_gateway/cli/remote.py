"""Shared by the commands that call a gateway: options, credentials, exit statuses and output."""

from __future__ import annotations

import functools
import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table
from rich.text import Text

from image_gateway.cli.progress import Terminal
from image_gateway.client.api import GatewayClient
from image_gateway.client.credentials import (
    BadToken,
    CredentialSource,
    FixedCredentials,
    TokenFile,
    bearer,
    is_address,
    is_overheard,
    user_name,
)
from image_gateway.client.retry import Retrier
from image_gateway.protocol.printable import escape_unprintable

EX_FAILED, EX_TEMPORARY, EX_CONFIG, EX_INTERRUPTED = 1, 75, 78, 130
DEFAULT_API = "http://127.0.0.1:3000"
TOKEN_VARIABLE = "IMAGE_GATEWAY_TOKEN"  # noqa: S105  # its name
DAY = 86_400.0
# Retry limit in seconds for commands that transfer no image data.
PATIENCE = 15.0
NO_TERMINAL_WIDTH = 160
EXIT_STATUSES = (
    "Exit status: 0 done, 1 failed, 2 wrong usage, 75 temporary failure (retries timed out), "
    "78 invalid configuration, 130 interrupted (can be resumed)."
)
# The values that the gateway accepts in X-User-Id.
_USER = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")


class ConfigError(Exception):
    """An environment variable is invalid for a client command."""


@dataclass(frozen=True)
class Gateway:
    """Address of a gateway, and the user or token file to authenticate with."""

    api: str
    user: str | None
    token_file: Path | None

    def client(self, *, connections: int = 8) -> GatewayClient:
        """Return a client for the gateway; warns on stderr if its token is sent unencrypted."""
        return GatewayClient(self.api, self._credential(), connections=connections)

    def options(self) -> list[str]:
        """Return the command line options that select the same gateway and user, without secrets."""
        return ["--api", self.api, *self._user_options()]

    def _user_options(self) -> list[str]:
        if self.token_file:
            return ["--token-file", str(self.token_file)]
        return [] if _has_token_variable() else ["--user", self.user or _login_name()]

    def _credential(self) -> CredentialSource:
        if self.token_file is None and not _has_token_variable():
            return user_name(self.user or _login_name())
        credential = self._token()
        warn_if_overheard(self.api)
        return credential

    def _token(self) -> CredentialSource:
        if self.token_file is None:
            try:
                return FixedCredentials(bearer(os.environ[TOKEN_VARIABLE]))
            except BadToken as error:
                raise ConfigError(f"{TOKEN_VARIABLE} {error}") from None
        try:
            return TokenFile(self.token_file)
        except BadToken as error:
            raise click.BadParameter(f"{self.token_file} {error}", param_hint="'--token-file'") from None


def gateway_options(command: Command) -> Command:
    """Add --api, --user and --token-file, passed to the command as `gateway`, and --json as `as_json`."""
    options = (
        click.option(
            "--api",
            envvar="IMAGE_GATEWAY_API",
            default=DEFAULT_API,
            show_default=True,
            callback=_check_api,
            help="URL of the gateway; also IMAGE_GATEWAY_API.",
        ),
        click.option(
            "--user",
            envvar="IMAGE_GATEWAY_USER",
            callback=_check_user,
            help="User id (X-User-Id) without a token; also IMAGE_GATEWAY_USER.  [default: login name]",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="File with the bearer token, read again when it changes; "
            f"alternatively, {TOKEN_VARIABLE} is the token itself.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
    )

    @functools.wraps(command)
    def with_gateway(*, api: str, user: str | None, token_file: Path | None, **others: Any) -> Any:
        if _is_on_command_line("user") and (token_file or _has_token_variable()):
            source = "--token-file" if token_file else TOKEN_VARIABLE
            raise click.UsageError(f"--user cannot be combined with {source}: the token identifies the user")
        return command(gateway=Gateway(api, user, token_file), **others)

    for option in reversed(options):
        with_gateway = option(with_gateway)
    # click passes keyword arguments by name, so the signature need not match.
    return with_gateway  # type: ignore[return-value]


def output_option(work: str) -> Callable[[Command], Command]:
    """Return the option of the file that a download or an export, named by `work`, writes."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        metavar="FILE",
        help=f"Output file. An existing file is replaced when the {work} is complete.",
    )


def transfer_options(command: Command) -> Command:
    """Add --parallel and --patience."""
    options = (
        click.option(
            "--parallel",
            type=click.IntRange(1, 64),
            default=4,
            show_default=True,
            help="Number of parallel transfers.",
        ),
        click.option(
            "--patience",
            type=click.FloatRange(0),
            default=DAY,
            show_default=True,
            help="Seconds to retry while the network, the gateway or the store is unavailable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def with_retries(work: Callable[[], Result]) -> Result:
    """Call `work` and retry temporary errors for up to 15 seconds."""
    return Retrier(PATIENCE, say=Terminal().say).call(work)


def all_pages(fetch: Callable[..., dict[str, Any]], records: str, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield the records of all pages; `fetch` takes the filters and a cursor."""
    cursor: str | None = None
    while True:
        page = with_retries(functools.partial(fetch, **filters, cursor=cursor))
        yield from page[records]
        cursor = page.get("nextCursor")
        if cursor is None:
            return


def warn_if_overheard(api: str) -> None:
    """Warn on stderr if a token for this address is sent unencrypted."""
    if is_overheard(api):
        host = urlsplit(api).hostname
        click.echo(f"image-gateway: warning: the token goes to {host} unencrypted; use https://", err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document as one line of JSON."""
    click.echo(dump_json(document))


def dump_json(document: Mapping[str, Any]) -> str:
    """Return a document as JSON in printable ASCII; json.dumps does not escape DEL."""
    return json.dumps(document).replace("\x7f", "\\u007f")


def print_table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows in columns; a SIZE column is right-aligned."""
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title == "SIZE" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH).print(table)


def one_line(value: object) -> str:
    """Return the value as one line with control characters escaped; `-` for None."""
    if value is None:
        return "-"
    return escape_unprintable(str(value))


def _has_token_variable() -> bool:
    return bool(os.environ.get(TOKEN_VARIABLE))


def _is_on_command_line(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _check_api(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not is_address(value):
        # The value may contain a password, so the message does not quote it.
        _reject(context, parameter, "must be http://host[:port] or https://host[:port], without a password")
    return value.rstrip("/")


def _check_user(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _USER.fullmatch(value):
        _reject(context, parameter, "must be 1 to 256 printable ASCII characters")
    return value


def _login_name() -> str:
    advice = "set IMAGE_GATEWAY_USER or give --user"
    try:
        name = getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError(f"cannot determine the login name: {advice}") from error
    if not _USER.fullmatch(name):
        raise ConfigError(f"the login name must be 1 to 256 printable ASCII characters: {advice}")
    return name


def _reject(context: click.Context, parameter: click.Parameter, text: str) -> None:
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
        raise ConfigError(f"{parameter.envvar} {text}")
    raise click.BadParameter(text)
