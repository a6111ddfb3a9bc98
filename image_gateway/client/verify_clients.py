"""How a reader client finds an image and what it demands, for `image-gateway verify --as CLIENT`.

CLIENTS is the registry: a client that is not in it cannot be verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from image_gateway.client.credentials import Credentials
from image_gateway.client.verify_http import ImageUrls, find_urls, is_readable_url
from image_gateway.protocol.manifest import SECTOR
from image_gateway.protocol.verification import Problem


@dataclass(frozen=True)
class ClientView:
    """Where a client reads an image, with which headers, and what it refuses before it reads anything.

    `urls` is None if the client has nowhere to read from.
    """

    urls: ImageUrls | None
    credentials: Credentials = field(default_factory=Credentials)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class ReaderClient:
    """A reader client: its way from the answer of `stream-url`, and from a URL that somebody gave it."""

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


CLIENTS: dict[str, ReaderClient] = {
    "aero": ReaderClient(_aero_from_stream_url, lambda url: ClientView(find_urls(url))),
}
