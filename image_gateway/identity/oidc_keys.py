"""The keys of a provider: fetched within bounds, and cached."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from image_gateway.errors import IdentityUnavailable
from image_gateway.identity.oidc_claims import KeysUnobtainable

if TYPE_CHECKING:
    from image_gateway.identity.oidc_signatures import KeySet
import json
import time

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, parse_url

LIFETIME_SECONDS = 600
COOLDOWN_SECONDS = 5
FIRST_WAIT_SECONDS = 4
RETRY_WAIT_SECONDS = 1
# How often the background thread looks at the clock.
LOOK_SECONDS = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Held:
    keys: KeySet
    since: float


class KeyCache:
    """Keeps what `fetch` returned for ten minutes, and then for as long as `fetch` raises KeysUnobtainable.

    Between the end of an attempt and the next there is a cooldown, whatever asks for it. The attempt is made
    by the thread that asks; others wait for it only while there are no keys at all. When the first attempt
    has failed, a background thread repeats it until there are keys.
    """

    def __init__(self, fetch: Callable[[], KeySet], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._attempt = threading.Lock()
        self._held: _Held | None = None
        self._tried_at: float | None = None
        # Guards `_retrying`, and tells of finished attempts and of a cooldown that is over.
        self._changed = threading.Condition()
        self._retrying: threading.Thread | None = None

    def get(self) -> KeySet:
        """Return the newest keys; raises IdentityUnavailable when there never were any.

        While there are none, waits at most 4 seconds for the first attempt and 1 for a later one, and not at
        all in the cooldown after a failure.
        """
        held = self._held
        if held is None or not self._is_within(held.since, LIFETIME_SECONDS):
            held = self._refresh()
        if held is None:
            raise IdentityUnavailable("the identity provider's keys could not be obtained; try again")
        return held.keys

    def get_newer(self, keys: KeySet) -> KeySet | None:
        """Return keys fetched after `keys`, or None; for a token that `keys` do not vouch for."""
        held = self._held
        if held is None or held.keys is keys:
            held = self._refresh()
        return held.keys if held is not None and held.keys is not keys else None

    def _refresh(self) -> _Held | None:
        if self._held is not None or self._tried_at is None:
            self._attempt_here()
        if self._held is None and self._tried_at is not None:
            self._attempt_in_background()
        return self._held

    def _attempt_here(self) -> None:
        wait = FIRST_WAIT_SECONDS if self._held is None else 0
        if not self._is_cooling() and self._attempt.acquire(timeout=wait):
            try:
                # Another thread may have finished its attempt just now.
                if not self._is_cooling():
                    self._try_fetch()
            finally:
                self._attempt.release()

    def _attempt_in_background(self) -> None:
        with self._changed:
            # A thread of the process that this one was forked from is not alive here.
            if self._held is None and (self._retrying is None or not self._retrying.is_alive()):
                self._retrying = threading.Thread(target=self._retry, name="oidc-keys", daemon=True)
                self._retrying.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._held is not None or self._is_cooling(), RETRY_WAIT_SECONDS)

    def _retry(self) -> None:
        """Attempt after each cooldown until there are keys."""
        while self._held is None:
            with self._changed:
                is_due = self._changed.wait_for(lambda: not self._is_cooling(), LOOK_SECONDS)
            if is_due:
                with self._attempt:
                    self._try_fetch()

    def _try_fetch(self) -> None:
        try:
            self._held = _Held(self._fetch(), self._clock())
        except KeysUnobtainable as error:
            _log.warning("the identity provider's keys could not be obtained: %s", error)
        finally:
            with self._changed:
                self._tried_at = self._clock()
                self._changed.notify_all()

    def _is_cooling(self) -> bool:
        return self._tried_at is not None and self._is_within(self._tried_at, COOLDOWN_SECONDS)

    def _is_within(self, start: float, seconds: float) -> bool:
        # A clock that was set back must not stop the refreshes.
        return 0 <= self._clock() - start < seconds


CONNECT_SECONDS = 3
READ_SECONDS = 3
BODY_SECONDS = 5
MAX_BYTES = 1 << 20
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "image-gateway"}


def fetch_key_set(issuer: str, jwks_url: str | None) -> object:
    """Return the decoded JWKS at `jwks_url`, or at the issuer's own `jwks_uri`; raises KeysUnobtainable.

    No redirect is followed and no proxy of the environment used.
    """
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    with urllib3.PoolManager(retries=False, timeout=timeout) as http:
        return _get_json(http, jwks_url or _discover(http, issuer))


def _discover(http: urllib3.PoolManager, issuer: str) -> str:
    """https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation"""
    document = _get_json(http, issuer.rstrip("/") + "/.well-known/openid-configuration")
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise KeysUnobtainable(f"{_host(issuer)} describes another issuer than the one configured")
    url = document.get("jwks_uri")
    allowed = ("https://",) if issuer.lower().startswith("https:") else ("https://", "http://")
    if not isinstance(url, str) or not url.lower().startswith(allowed):
        raise KeysUnobtainable(f"{_host(issuer)} names no usable jwks_uri")
    return url


def _get_json(http: urllib3.PoolManager, url: str) -> object:
    host = _host(url)
    try:
        with http.request(
            "GET", url, headers=_HEADERS, redirect=False, preload_content=False, decode_content=False
        ) as answer:
            if answer.status != 200:
                raise KeysUnobtainable(f"{host} answered {answer.status}")
            return json.loads(_read(answer, host))
    except (HTTPError, OSError) as error:
        # The text of the error may hold the whole URL.
        raise KeysUnobtainable(f"{host}: {type(error).__name__}") from None
    except (ValueError, RecursionError):
        raise KeysUnobtainable(f"{host} answered something that is not JSON") from None


def _read(answer: urllib3.BaseHTTPResponse, host: str) -> bytes:
    body, deadline = bytearray(), time.monotonic() + BODY_SECONDS
    while block := answer.read1(65_536):
        body += block
        if len(body) > MAX_BYTES:
            raise KeysUnobtainable(f"{host} answered more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise KeysUnobtainable(f"{host} answered too slowly")
    return bytes(body)


def _host(url: str) -> str:
    try:
        return parse_url(url).host or "?"
    except ValueError:
        return "?"
