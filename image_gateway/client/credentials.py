"""Credentials for the gateway, and checks of the URLs to which they are sent."""

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
    """Return whether the value is an http(s) URL without credentials, query or fragment."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    printable = value.isascii() and value.isprintable() and " " not in value
    return (
        printable
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not (parts.query or parts.fragment)
        and port != 0
    )


def is_overheard(address: str) -> bool:
    """Return whether requests to this URL cross a network unencrypted."""
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
    """The input is not a valid token; the message does not contain the input."""


@dataclass(frozen=True, eq=False)
class Credentials:
    """Authentication headers, and the secret in them that must be masked; replaced on renewal."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)


class CredentialSource(Protocol):
    """Provides the current authentication headers; thread-safe."""

    def credentials(self) -> Credentials:
        """Return the headers to send now, renewed if necessary."""

    def replaces(self, used: Credentials, refusal: ApiError) -> bool:
        """Return whether a retry may succeed: other credentials than those rejected are available."""


class FixedCredentials:
    """A credential that never changes."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def credentials(self) -> Credentials:
        return self._credentials

    def replaces(self, used: Credentials, refusal: ApiError) -> bool:
        return False


def nobody() -> FixedCredentials:
    """Return an anonymous credential."""
    return FixedCredentials(Credentials())


def user_name(user_id: str) -> FixedCredentials:
    """Return a credential that sends X-User-Id, which only AUTH_MODE=dev accepts."""
    return FixedCredentials(Credentials({"X-User-Id": user_id}))


def bearer(text: str) -> Credentials:
    """Return the headers for a bearer token; surrounding whitespace is ignored.

    Raises:
        BadToken: The text is empty, too long, or has characters that a header cannot carry.
    """
    token = text.strip()
    if not token:
        raise BadToken("holds no token")
    if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise BadToken(
            f"holds no token: it must be one word of at most {LONGEST_TOKEN} printable ASCII characters"
        )
    return Credentials({"Authorization": f"Bearer {token}"}, token)


class TokenFile:
    """A bearer token in a file that another program refreshes.

    The file is read again when it changes and after a 401. When it is missing or has no valid token, for
    example during a rewrite, the previous token is kept; only the first read raises BadToken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._last_stat = self._stat()
            self._credentials = self._read()
        except OSError as error:
            raise BadToken(f"cannot be read: {error.strerror}") from None

    def credentials(self) -> Credentials:
        with self._lock:
            with suppress(OSError, BadToken):
                stat = self._stat()
                if stat != self._last_stat:
                    self._refresh()
                    # Taken before the read, so that a concurrent rewrite is detected by the next call.
                    self._last_stat = stat
            return self._credentials

    def replaces(self, used: Credentials, refusal: ApiError) -> bool:
        if refusal.status != 401:
            return False
        with self._lock:
            with suppress(OSError, BadToken):
                self._refresh()
            return self._credentials.secret != used.secret

    def _refresh(self) -> None:
        credentials = self._read()
        if credentials.secret != self._credentials.secret:
            self._credentials = credentials

    def _stat(self) -> tuple[int, ...]:
        status = os.stat(self._path)
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Credentials:
        with self._path.open("rb") as file:
            data = file.read(LONGEST_TOKEN + 64)
        return bearer(data.decode("ascii", "replace"))
