"""Finds out what the argument of `image-gateway verify` names, and opens it."""

from __future__ import annotations

import functools
import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from image_gateway.cli.remote import Gateway, warn_if_overheard
from image_gateway.client.credentials import Credentials, CredentialSource, FixedCredentials
from image_gateway.client.errors import ApiError
from image_gateway.client.retry import Retrier, Say
from image_gateway.client.verify_clients import CLIENTS, ClientView
from image_gateway.client.verify_http import HttpSource, ImageUrls, find_urls, shown_url
from image_gateway.client.verify_requests import HttpReader, is_readable_url
from image_gateway.client.verify_view_reads import ViewReader
from image_gateway.client.verify_view_urls import NotAView
from image_gateway.components import open_store
from image_gateway.protocol.verification import Problem, Source
from image_gateway.protocol.view_verification import View
from image_gateway.services.verify_sources import FolderSource, StoreSource
from image_gateway.settings import load_settings

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}"
_HEADER = re.compile(rf"({_NAME}):[ \t]*([!-~](?:[ -~\t]{{0,16382}}[!-~])?)[ \t]*", re.ASCII)
_COOKIE = re.compile(rf"({_NAME})=([!-+\--:<-~]{{0,16384}})", re.ASCII)
# They decide what is read, or belong to the connection.
_OWN_HEADERS = {"range", "accept-encoding", "host", "content-length", "transfer-encoding", "connection"}
_BUCKET_URL = re.compile(r"s3://([A-Za-z0-9._-]+)(/.*)?", re.DOTALL)

Command = TypeVar("Command", bound=Callable[..., Any])


class TargetUnreadable(Exception):
    """The target could not be looked up. `shown` names it without secrets."""

    def __init__(self, shown: str, reason: str) -> None:
        super().__init__(reason)
        self.shown = shown


@dataclass(frozen=True)
class RequestHeaders:
    """Headers and cookies from the command line, which are secrets."""

    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def add_to(self, credentials: Credentials) -> Credentials:
        """Return the credentials with these headers; cookies are joined."""
        merged = {**credentials.headers, **self.headers}
        cookies = [given["Cookie"] for given in (credentials.headers, self.headers) if "Cookie" in given]
        if cookies:
            merged["Cookie"] = "; ".join(cookies)
        return Credentials(merged, credentials.secret)


class _MergedCredentials:
    """Credentials of another source, and headers from the command line."""

    def __init__(self, source: CredentialSource, extra: RequestHeaders) -> None:
        self._source = source
        self._extra = extra

    def credentials(self) -> Credentials:
        return self._extra.add_to(self._source.credentials())

    def replaces(self, used: Credentials, refusal: ApiError) -> bool:
        return self._source.replaces(used, refusal)


@dataclass(frozen=True)
class OpenTarget:
    """What to verify, and what is known about it. Nothing can be read if `problems` prevent it.

    If there are `views`, they are verified, and `source` is what they are compared with.
    """

    shown: str
    source: Source | None
    problems: list[Problem] = field(default_factory=list)
    image_id: str | None = None
    sha256: str | None = None
    views: tuple[View, ...] = ()

    @property
    def is_readable(self) -> bool:
        return bool(self.source or self.views)


def request_headers(command: Command) -> Command:
    """Add --header and --cookie, passed to the command as `headers`."""

    @functools.wraps(command)
    def with_headers(*, header: tuple[str, ...], cookie: tuple[str, ...], **others: Any) -> Any:
        return command(headers=_parse_headers(header, cookie), **others)

    options = (
        click.option(
            "--header",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Header to send to the target's origin only; may be repeated.",
        ),
        click.option(
            "--cookie",
            multiple=True,
            metavar="NAME=VALUE",
            help="Cookie to send to the target's origin only; may be repeated.",
        ),
    )
    for option in reversed(options):
        with_headers = option(with_headers)
    # click passes keyword arguments by name, so the signature need not match.
    return with_headers  # type: ignore[return-value]


def open_target(
    target: str,
    gateway: Gateway,
    headers: RequestHeaders,
    client_name: str | None,
    *,
    patience: float,
    connections: int,
    say: Say,
) -> OpenTarget:
    """Return the source that TARGET names.

    Raises:
        click.UsageError: It names nothing, or the options do not suit it.
        TargetUnreadable: The gateway did not tell where the image is.
    """
    make = functools.partial(_open_http, headers, patience=patience, connections=connections, say=say)
    connect = functools.partial(_connect_views, headers, patience=patience, connections=connections, say=say)
    if target.startswith(("http://", "https://")):
        check_target_url(target)
        if headers.headers:
            warn_if_overheard(target)
        view = _view_of(target, client_name)
        return OpenTarget(shown_url(target), make(view), view.problems, views=connect(view))
    if _is_image_id(target):
        return _open_image(target.lower(), gateway, client_name, make, connect, Retrier(patience, say=say))
    if headers.headers or client_name:
        raise click.UsageError("--header, --cookie and --as are for an image id or a URL")
    if target.startswith("s3://"):
        return _open_bucket(target)
    if not Path(target).is_dir():
        raise click.UsageError("TARGET must be an image id, a URL, s3://BUCKET/PREFIX, or a folder")
    return OpenTarget(target, FolderSource(Path(target)))


def _open_http(
    headers: RequestHeaders,
    view: ClientView,
    source: CredentialSource | None = None,
    *,
    patience: float,
    connections: int,
    say: Say,
) -> HttpSource | None:
    if view.urls is None:
        return None
    who = _MergedCredentials(source or FixedCredentials(view.credentials), headers)
    return HttpSource(view.urls, who=who, retrier=Retrier(patience, say=say), connections=connections)


def _open_image(
    image_id: str,
    gateway: Gateway,
    client_name: str | None,
    make: Callable[..., HttpSource | None],
    connect: Callable[[ClientView], tuple[View, ...]],
    retrier: Retrier,
) -> OpenTarget:
    client = gateway.client()
    try:
        record = retrier.call(lambda: client.image(image_id))
        sha256 = record.get("sha256")
        if client_name is None:
            base = f"{client.base_url}/v1/images/{image_id}"
            urls = ImageUrls(f"{base}/chunked/manifest", f"{base}/range", optional_manifest=True)
            return OpenTarget(image_id, make(ClientView(urls), client.who), [], image_id, sha256)
        answer = retrier.call(lambda: client.stream_url(image_id))
    except ApiError as error:
        # The message of the gateway's answer is not repeated.
        reason = f"HTTP {error.status}" if error.status else "the gateway did not answer"
        raise TargetUnreadable(image_id, reason) from None
    view = CLIENTS[client_name].from_stream_url(answer)
    return OpenTarget(image_id, make(view), view.problems, image_id, sha256, connect(view))


def _view_of(url: str, client_name: str | None) -> ClientView:
    if client_name is None:
        return ClientView(find_urls(url))
    try:
        return CLIENTS[client_name].from_url(url)
    except NotAView as error:
        raise click.UsageError(str(error)) from None


def _connect_views(
    headers: RequestHeaders, view: ClientView, *, patience: float, connections: int, say: Say
) -> tuple[View, ...]:
    """Return the views; their readers send the given headers only, as their clients know of no others."""
    http = HttpReader(
        [target.url for target in view.views],
        who=FixedCredentials(headers.add_to(Credentials())),
        retrier=Retrier(patience, say=say),
        connections=connections,
    )
    given = headers.headers
    reader = ViewReader(http, origin=given.get("Origin"), with_cookies="Cookie" in given)
    return tuple(target.connect(reader) for target in view.views)


def _open_bucket(target: str) -> OpenTarget:
    match = _BUCKET_URL.fullmatch(target)
    if match is None:
        raise click.UsageError("TARGET must have the form s3://BUCKET/PREFIX")
    prefix = (match[2] or "").strip("/")
    settings = load_settings({**os.environ, "S3_BUCKET": match[1]})
    return OpenTarget(target, StoreSource(open_store(settings), f"{prefix}/" if prefix else ""))


def check_target_url(url: str, argument: str = "TARGET") -> None:
    """Raise UsageError for a URL that cannot be read, or that holds a password."""
    # The URL may hold secrets, so no message quotes it.
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise click.UsageError(f"{argument} must be in ASCII: percent-encode what is not, and spaces (%20)")
    if not is_readable_url(url):
        raise click.UsageError(
            f"{argument} must be an http or https URL, like https://images.example.com/disk.img"
        )
    if urlsplit(url).fragment:
        raise click.UsageError(f"{argument} must not have a fragment (#…): percent-encode # as %23")
    if "@" in urlsplit(url).netloc:
        raise click.UsageError(f"{argument} must not hold a user name or password: use --header")


def _parse_headers(headers: tuple[str, ...], cookies: tuple[str, ...]) -> RequestHeaders:
    """Return the headers; messages do not quote values, which are secrets."""
    parsed: dict[str, str] = {}
    for text in headers:
        match = _HEADER.fullmatch(text)
        if match is None:
            raise click.BadParameter("must have the form 'Name: value'", param_hint="'--header'")
        name = match[1].title()
        if name.lower() in _OWN_HEADERS:
            raise click.BadParameter(f"{name} cannot be set", param_hint="'--header'")
        parsed[name] = match[2]
    if not all(_COOKIE.fullmatch(text) for text in cookies):
        raise click.BadParameter("must have the form NAME=VALUE", param_hint="'--cookie'")
    all_cookies = [parsed["Cookie"], *cookies] if "Cookie" in parsed else list(cookies)
    return RequestHeaders({**parsed, **({"Cookie": "; ".join(all_cookies)} if all_cookies else {})})


def _is_image_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
