"""Removes from texts what URLs and headers of a request hold, in case the server repeats it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, unquote_plus, urlsplit

from urllib3 import HTTPHeaderDict

from image_gateway.protocol.verification import CUT

LEASE = re.compile(r"(.*/v1/l/)([^/]+)(/.*)")
HIDDEN = "[hidden]"
# Shorter texts, such as `1`, are in many texts by chance.
_SHORTEST = 6


class Secrets:
    """The secrets of a check.

    Args:
        urls: Their queries and lease tokens are secrets.
        headers: Their values are.
    """

    def __init__(self, urls: Iterable[str], headers: Mapping[str, str]) -> None:
        plain = [text for url in urls for text in _of_url(url)]
        plain += [text for name, value in headers.items() for text in _of_header(name, value)]
        # Messages quote headers by repr().
        found = {form for text in plain for form in (text, repr(text)[1:-1])}
        # The longest first, since one may be a part of another.
        self._texts = sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text without the secrets, and without the start of one where the text was cut."""
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        first, *rest = text.split(CUT)
        return CUT.join([*map(self._hide_cut, [first, *rest[:-1]]), rest[-1]]) if rest else text

    def hide_in(self, headers: Mapping[str, str]) -> HTTPHeaderDict:
        """Return the headers of an answer without the secrets."""
        return HTTPHeaderDict({name: self.hide(value) for name, value in headers.items()})

    def _hide_cut(self, text: str) -> str:
        """Return the text without the start of a secret at its end."""
        for secret in self._texts:
            for length in range(min(len(secret), len(text)), _SHORTEST - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + HIDDEN
        return text


def _of_url(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    leased = LEASE.fullmatch(parts.path)
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    for text in (parts.query, *values, leased[2] if leased else ""):
        yield from (text, unquote(text), unquote_plus(text))


def _of_header(name: str, value: str) -> Iterator[str]:
    yield value
    yield from value.split()
    if name.lower() == "cookie":
        for pair in value.split(";"):
            given = pair.partition("=")[2].strip()
            yield from (given, given.strip('"'), unquote(given))
    if value.lower().startswith("basic "):
        login = _decode(value[6:])
        yield from (login, login.partition(":")[2])


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
