"""Credentials of a command, and the addresses to which they may be sent."""

from __future__ import annotations

import ipaddress
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from image_gateway.client.errors import ApiError


def is_address(value: str) -> bool:
    """Whether this is `http://host[:port][/path]`, or https, without a password."""
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


def is_overheard(address: str) -> bool:
    """Whether what is sent there goes over a network unencrypted."""
    parts = urlsplit(address)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


LONGEST_TOKEN = 16_384
_TOKEN = re.compile(r"[!-~]+", re.ASCII)


class BadToken(ValueError):
    """What was given is no token; the text does not tell what it is."""


@dataclass(frozen=True, eq=False)
class Proof:
    """The headers that say who asks, and what of them is secret; each renewal makes another one."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)


class Credential(Protocol):
    """Has the proof of the moment; shared by all threads."""

    def proof(self) -> Proof:
        """Return what to send now."""

    def replaces(self, used: Proof, refusal: ApiError) -> bool:
        """Whether there is another proof than the one that was refused, so that asking again may help."""


class Fixed:
    """One proof for ever."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    def proof(self) -> Proof:
        return self._proof

    def replaces(self, used: Proof, refusal: ApiError) -> bool:
        return False


def nobody() -> Fixed:
    return Fixed(Proof())


def user_name(user_id: str) -> Fixed:
    """Who asks is believed by gateways with AUTH_MODE=dev alone."""
    return Fixed(Proof({"X-User-Id": user_id}))


def bearer(text: str) -> Proof:
    """The proof by a token, white space around it left out; raises BadToken."""
    token = text.strip()
    if not token:
        raise BadToken("holds no token")
    if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise BadToken(
            f"holds no token: it must be one word of at most {LONGEST_TOKEN} printable ASCII characters"
        )
    return Proof({"Authorization": f"Bearer {token}"}, token)


class TokenFile:
    """The token in a file that another program keeps fresh.

    It is read again when the file changes and after a refusal. A file that is gone or holds no token, as in
    the middle of a rewrite, leaves the token as it is; only the first read raises BadToken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._stamp = self._look()
            self._proof = self._read()
        except OSError as error:
            raise BadToken(f"cannot be read: {error.strerror}") from None

    def proof(self) -> Proof:
        with self._lock:
            with suppress(OSError, BadToken):
                stamp = self._look()
                if stamp != self._stamp:
                    self._refresh()
                    # The stamp from before the reading: a rewrite in between is seen by the next look.
                    self._stamp = stamp
            return self._proof

    def replaces(self, used: Proof, refusal: ApiError) -> bool:
        if refusal.status != 401:
            return False
        with self._lock:
            with suppress(OSError, BadToken):
                self._refresh()
            return self._proof.secret != used.secret

    def _refresh(self) -> None:
        proof = self._read()
        if proof.secret != self._proof.secret:
            self._proof = proof

    def _look(self) -> tuple[int, ...]:
        status = os.stat(self._path)
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Proof:
        with self._path.open("rb") as file:
            data = file.read(LONGEST_TOKEN + 64)
        return bearer(data.decode("ascii", "replace"))
