"""Looks a host name up once, and refuses names that lead to addresses that are not public."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from image_gateway.errors import BadRequest, FetchFailed
from image_gateway.fetching.public_addresses import is_public
from image_gateway.fetching.url_rules import FetchRules, SourceUrl

# As socket.getaddrinfo.
Lookup = Callable[..., list[tuple[Any, ...]]]
# More addresses are judged, but not tried.
MAX_ADDRESSES = 4


class Address(NamedTuple):
    """An address that `socket.connect` takes without another look-up."""

    family: int
    socket_address: tuple[Any, ...]


def resolve(url: SourceUrl, rules: FetchRules, lookup: Lookup = socket.getaddrinfo) -> list[Address]:
    """Return the addresses of a URL's host, in the resolver's order.

    Raises:
        BadRequest: One of the addresses is not public and the rules do not allow that.
        FetchFailed: There is no such name, or no answer within the time limit.
    """
    try:
        rows = _within(rules.connect_seconds, lookup, url.host, url.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise FetchFailed(f"looking up {url.host} took too long", retryable=True) from None
    except socket.gaierror as error:
        missing = error.errno == socket.EAI_NONAME
        raise FetchFailed(f"looking up {url.host} failed: {error.strerror}", retryable=not missing) from None
    except (OSError, UnicodeError):
        raise FetchFailed(f"looking up {url.host} failed", retryable=True) from None
    addresses = list(dict.fromkeys(Address(row[0], row[4]) for row in rows))
    if not addresses:
        raise FetchFailed(f"{url.host} has no address", retryable=True)
    # All of them: whoever controls the name chooses which one answers.
    if not rules.allow_private and not all(is_public(address.socket_address[0]) for address in addresses):
        raise BadRequest(f"the host {url.host} has an address that is not public")
    return addresses[:MAX_ADDRESSES]


def _within(seconds: float, lookup: Lookup, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
    """Call `lookup` in a thread: getaddrinfo has no timeout; a late one ends by the resolver's limits."""
    answer: Future[list[tuple[Any, ...]]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(lookup(*args, **options))
        except BaseException as error:  # noqa: BLE001
            answer.set_exception(error)

    threading.Thread(target=look_up, name="fetch-lookup", daemon=True).start()
    return answer.result(seconds)
