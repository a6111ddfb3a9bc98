"""How a reader client finds an image and what it demands, for `image-gateway verify --as CLIENT`.

CLIENTS is the registry: a client that is not in it cannot be verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from image_gateway.client.credentials import Credentials
from image_gateway.client.verify_http import ImageUrls, find_urls
from image_gateway.client.verify_requests import is_readable_url
from image_gateway.client.verify_view_urls import VIEW_CLIENTS, NotAView, ViewTarget, find_image
from image_gateway.protocol.manifest import SECTOR
from image_gateway.protocol.verification import Problem


@dataclass(frozen=True)
class ClientView:
    """Where a client reads an image, with which headers, and what it refuses before it reads anything.

    `urls` is None if the client has nowhere to read from. If there are `views`, the client reads those, and
    `urls` is what they are compared with.
    """

    urls: ImageUrls | None
    credentials: Credentials = field(default_factory=Credentials)
    problems: list[Problem] = field(default_factory=list)
    views: tuple[ViewTarget, ...] = ()


@dataclass(frozen=True)
class ReaderClient:
    """A reader client: its way from the answer of `stream-url`, and from a URL that somebody gave it.

    `from_url` raises NotAView for a URL that the client cannot be given.
    """

    from_stream_url: Callable[[Mapping[str, Any]], ClientView]
    from_url: Callable[[str], ClientView]


def _aero_from_stream_url(answer: Mapping[str, Any]) -> ClientView:
    problems = list(_check_aero_document(answer))
    if problems:
        return ClientView(None, problems=problems)
    chunked = answer.get("chunked")
    beside = find_urls(answer["url"])
    urls = (
        ImageUrls(chunked["manifestUrl"], answer["url"])
        if chunked
        else ImageUrls(beside.manifest, answer["url"], optional_manifest=True)
    )
    return ClientView(urls, _cookies(answer))


def _check_aero_document(answer: Mapping[str, Any]) -> Iterator[Problem]:
    where = "stream-url"
    size = answer.get("size")
    if not _is_url(answer.get("url")):
        yield Problem(where, "url", "must be an http or https URL")
    if type(size) is not int or size <= 0 or size % SECTOR:
        yield Problem(where, "size", f"must be a positive multiple of {SECTOR}")
    if "expiresAt" in answer and not _is_date(answer["expiresAt"]):
        yield Problem(where, "expiresAt", "must be a date and time, or absent")
    if "chunked" in answer:
        chunked = answer["chunked"]
        if not isinstance(chunked, dict) or not _is_url(chunked.get("manifestUrl")):
            yield Problem(where, "chunked", "must hold manifestUrl, or be absent")


def _cookies(answer: Mapping[str, Any]) -> Credentials:
    """Return the cookies that a browser would have taken from the answer."""
    auth = answer.get("auth")
    cookies = auth.get("cookies") if isinstance(auth, dict) else None
    if not isinstance(cookies, list) or not cookies:
        return Credentials()
    pairs = [(cookie.get("name"), cookie.get("value")) for cookie in cookies if isinstance(cookie, dict)]
    text = "; ".join(f"{name}={value}" for name, value in pairs)
    return Credentials({"Cookie": text}, text)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and is_readable_url(value)


def _is_date(value: object) -> bool:
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return False


def _read_view(
    from_options: Callable[[Mapping[str, Any]], tuple[ViewTarget, ...]],
    from_url: Callable[[str], ViewTarget],
    name: str,
) -> ReaderClient:
    """Return the client that `views` of `stream-url` has options for under this name."""

    def from_stream_url(answer: Mapping[str, Any]) -> ClientView:
        views = answer.get("views")
        options = views.get(name) if isinstance(views, dict) else None
        if not _is_url(answer.get("url")):
            return ClientView(None, problems=[Problem("stream-url", "url", "must be an http or https URL")])
        if not isinstance(options, dict):
            text = f"has no options for {name}: the image can be read in other ways only"
            return ClientView(None, problems=[Problem("stream-url", "views", text)])
        try:
            targets = from_options(options)
        except NotAView as error:
            return ClientView(None, problems=[Problem("stream-url", f"views.{name}", str(error))])
        chunked = answer.get("chunked")
        manifest = chunked.get("manifestUrl") if isinstance(chunked, dict) else None
        if not isinstance(manifest, str) or not _is_url(manifest):
            manifest = find_urls(answer["url"]).manifest
        urls = ImageUrls(manifest, answer["url"], optional_manifest=True)
        return ClientView(urls, _cookies(answer), views=targets)

    def from_target(url: str) -> ClientView:
        return ClientView(find_image(url), views=(from_url(url),))

    return ReaderClient(from_stream_url, from_target)


CLIENTS: dict[str, ReaderClient] = {
    "aero": ReaderClient(_aero_from_stream_url, lambda url: ClientView(find_urls(url))),
    **{name: _read_view(*ways, name) for name, ways in VIEW_CLIENTS.items()},
}
