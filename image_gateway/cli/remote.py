"""What the commands that talk to a gateway share: its address, the user, exit statuses, the JSON answer."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

EX_FAILED, EX_TEMPORARY, EX_CONFIG, EX_INTERRUPTED = 1, 75, 78, 130
DEFAULT_API = "http://127.0.0.1:3000"
DAY = 86_400.0
EXIT_STATUSES = (
    "Exit status: 0 done, 1 failed, 2 wrong usage, 75 temporary failure (patience is over), "
    "78 unusable configuration, 130 interrupted (the same work can be resumed)."
)
# As it may stand in a header, and as the gateway takes it.
_USER = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")

Command = TypeVar("Command", bound=Callable[..., Any])


class ConfigError(Exception):
    """A variable of the environment that a client command cannot use."""


def gateway_options(command: Command) -> Command:
    """Add --api, --user and --json."""
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
            help="Who is asking (X-User-Id); else IMAGE_GATEWAY_USER, else the login name.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, for scripts."),
    )
    for option in reversed(options):
        command = option(command)
    return command


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


def print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document))


def _check_api(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not _is_address(value):
        # What was given may hold a password.
        _refuse(context, parameter, "must be http://host[:port] or https://host[:port], without a password")
    return value.rstrip("/")


def _check_user(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    user = _login_name() if value is None else value
    if not _USER.fullmatch(user):
        _refuse(context, parameter, "must be 1 to 256 printable ASCII characters")
    return user


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    plain = value.isascii() and value.isprintable() and " " not in value
    return (
        plain
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not (parts.query or parts.fragment)
        and port != 0
    )


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ConfigError("the login name is unknown: set IMAGE_GATEWAY_USER or give --user") from error


def _refuse(context: click.Context, parameter: click.Parameter, text: str) -> None:
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
        raise ConfigError(f"{parameter.envvar} {text}")
    if source is ParameterSource.DEFAULT:
        raise ConfigError(f"the login name {text}: set IMAGE_GATEWAY_USER or give --user")
    raise click.BadParameter(text)
