"""What the commands that talk to a gateway share: its address, who asks, exit statuses, what is printed."""

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
    Credential,
    Fixed,
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
# Of commands that move no bytes.
PATIENCE = 15.0
NO_TERMINAL_WIDTH = 160
EXIT_STATUSES = (
    "Exit status: 0 done, 1 failed, 2 wrong usage, 75 temporary failure (patience is over), "
    "78 unusable configuration, 130 interrupted (the same work can be resumed)."
)
# As it may stand in a header, and as the gateway takes it.
_USER = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")


class ConfigError(Exception):
    """A variable of the environment that a client command cannot use."""


@dataclass(frozen=True)
class Gateway:
    """The gateway that a command was pointed at, and as whom."""

    api: str
    user: str | None
    token_file: Path | None

    def client(self, *, connections: int = 8) -> GatewayClient:
        """A client of it; says on stderr when its token can be overheard."""
        return GatewayClient(self.api, self._credential(), connections=connections)

    def options(self) -> list[str]:
        """What to repeat on the command line to ask again, without any secret."""
        return ["--api", self.api, *self._who()]

    def _who(self) -> list[str]:
        if self.token_file:
            return ["--token-file", str(self.token_file)]
        return [] if _has_token_variable() else ["--user", self.user or _login_name()]

    def _credential(self) -> Credential:
        if self.token_file is None and not _has_token_variable():
            return user_name(self.user or _login_name())
        credential = self._token()
        warn_if_overheard(self.api)
        return credential

    def _token(self) -> Credential:
        if self.token_file is None:
            try:
                return Fixed(bearer(os.environ[TOKEN_VARIABLE]))
            except BadToken as error:
                raise ConfigError(f"{TOKEN_VARIABLE} {error}") from None
        try:
            return TokenFile(self.token_file)
        except BadToken as error:
            raise click.BadParameter(f"{self.token_file} {error}", param_hint="'--token-file'") from None


def gateway_options(command: Command) -> Command:
    """Add --api, --user and --token-file, given to the command as `gateway`, and --json as `as_json`."""
    options = (
        click.option(
            "--api",
            envvar="IMAGE_GATEWAY_API",
            default=DEFAULT_API,
            show_default=True,
            callback=_check_api,
            help="Address of the gateway; else IMAGE_GATEWAY_API.",
        ),
        click.option(
            "--user",
            envvar="IMAGE_GATEWAY_USER",
            callback=_check_user,
            help="Who is asking (X-User-Id), without a token; else IMAGE_GATEWAY_USER, else the login name.",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Holds the bearer token that says who is asking, and is read again when it changes; "
            f"else {TOKEN_VARIABLE} is the token.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, for scripts."),
    )

    @functools.wraps(command)
    def with_gateway(*, api: str, user: str | None, token_file: Path | None, **others: Any) -> Any:
        if _is_typed("user") and (token_file or _has_token_variable()):
            source = "--token-file" if token_file else TOKEN_VARIABLE
            raise click.UsageError(f"the token of {source} says who is asking: leave out --user")
        return command(gateway=Gateway(api, user, token_file), **others)

    for option in reversed(options):
        with_gateway = option(with_gateway)
    # The decorated function takes what click gives it, whatever the command's own parameters.
    return with_gateway  # type: ignore[return-value]


def transfer_options(command: Command) -> Command:
    """Add --parallel and --patience."""
    options = (
        click.option(
            "--parallel",
            type=click.IntRange(1, 64),
            default=4,
            show_default=True,
            help="Transfers under way at a time.",
        ),
        click.option(
            "--patience",
            type=click.FloatRange(0),
            default=DAY,
            show_default=True,
            help="Seconds to keep trying while the network, the gateway or the store is away.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def patiently(work: Callable[[], Result]) -> Result:
    """Do something small, trying again for a moment."""
    return Retrier(PATIENCE, say=Terminal().say).call(work)


def all_pages(ask: Callable[..., dict[str, Any]], records: str, **filters: Any) -> Iterator[dict[str, Any]]:
    """Give the records of all pages; `ask` takes the filters and a cursor."""
    cursor: str | None = None
    while True:
        page = patiently(functools.partial(ask, **filters, cursor=cursor))
        yield from page[records]
        cursor = page.get("nextCursor")
        if cursor is None:
            return


def warn_if_overheard(api: str) -> None:
    if is_overheard(api):
        host = urlsplit(api).hostname
        click.echo(f"image-gateway: warning: the token goes to {host} unencrypted; use https://", err=True)


def print_json(document: Mapping[str, Any]) -> None:
    click.echo(dump_json(document))


def dump_json(document: Mapping[str, Any]) -> str:
    """Return a document as JSON in printable ASCII: json.dumps leaves DEL alone as it is."""
    return json.dumps(document).replace("\x7f", "\\u007f")


def print_table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print lines in columns; a column of sizes stands on the right."""
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title == "SIZE" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH).print(table)


def one_line(value: object) -> str:
    """A value on one line; what a name could do to a terminal is made visible."""
    if value is None:
        return "-"
    return escape_unprintable(str(value))


def _has_token_variable() -> bool:
    return bool(os.environ.get(TOKEN_VARIABLE))


def _is_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _check_api(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not is_address(value):
        # What was given may hold a password.
        _refuse(context, parameter, "must be http://host[:port] or https://host[:port], without a password")
    return value.rstrip("/")


def _check_user(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _USER.fullmatch(value):
        _refuse(context, parameter, "must be 1 to 256 printable ASCII characters")
    return value


def _login_name() -> str:
    advice = "set IMAGE_GATEWAY_USER or give --user"
    try:
        name = getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError(f"the login name is unknown: {advice}") from error
    if not _USER.fullmatch(name):
        raise ConfigError(f"the login name must be 1 to 256 printable ASCII characters: {advice}")
    return name


def _refuse(context: click.Context, parameter: click.Parameter, text: str) -> None:
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
        raise ConfigError(f"{parameter.envvar} {text}")
    raise click.BadParameter(text)
