"""Fetches an issuer's JSON Web Key Set with timeouts and a size limit, and caches it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from image_gateway.errors import IdentityUnavailable
from image_gateway.identity.oidc_claims import IssuerUnreachable, KeysUnobtainable
from image_gateway.observability.connection_errors import describe_connection_error

if TYPE_CHECKING:
    from image_gateway.identity.oidc_signatures import KeySet
import json
import time
from email.utils import parsedate_to_datetime

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, parse_url

LIFETIME_SECONDS = 600
COOLDOWN_SECONDS = 5
FIRST_WAIT_SECONDS = 4
RETRY_WAIT_SECONDS = 1
# Poll interval of the background thread.
POLL_SECONDS = 1
_log = logging.getLogger(__name__)
Discovery = Mapping[str, object]


@dataclass(frozen=True)
class _FetchedKeys:
    keys: KeySet
    fetched_at: float


class KeyCache:
    """Caches the result of `fetch` for ten minutes, and longer while `fetch` raises KeysUnobtainable.

    Attempts are separated by a cooldown of five seconds. The calling thread fetches; other threads wait for
    it only while there are no keys at all. If the first attempt fails, a background thread retries until it
    succeeds.
    """

    def __init__(self, fetch: Callable[[], KeySet], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fetch_lock = threading.Lock()
        self._cached: _FetchedKeys | None = None
        self._tried_at: float | None = None
        # Guards `_retry_thread`; notified after each attempt and at the end of a cooldown.
        self._changed = threading.Condition()
        self._retry_thread: threading.Thread | None = None

    def get(self) -> KeySet:
        """Return the newest keys.

        While there are none, waits up to 4 seconds for the first attempt, up to 1 second for a later one, and
        not at all during the cooldown after a failure.

        Raises:
            IdentityUnavailable: No attempt has succeeded yet.
        """
        cached = self._cached
        if cached is None or not self._is_within(cached.fetched_at, LIFETIME_SECONDS):
            cached = self._refresh()
        if cached is None:
            raise IdentityUnavailable("fetching the identity provider's keys failed; try again")
        return cached.keys

    def get_newer(self, keys: KeySet) -> KeySet | None:
        """Return keys that were fetched after `keys`, or None. For tokens that `keys` do not verify."""
        cached = self._cached
        if cached is None or cached.keys is keys:
            cached = self._refresh()
        return cached.keys if cached is not None and cached.keys is not keys else None

    def _refresh(self) -> _FetchedKeys | None:
        if self._cached is not None or self._tried_at is None:
            self._fetch_in_this_thread()
        if self._cached is None and self._tried_at is not None:
            self._wait_for_background_fetch()
        return self._cached

    def _fetch_in_this_thread(self) -> None:
        wait = FIRST_WAIT_SECONDS if self._cached is None else 0
        if not self._in_cooldown() and self._fetch_lock.acquire(timeout=wait):
            try:
                # Another thread may have finished its attempt while this one waited for the lock.
                if not self._in_cooldown():
                    self._try_fetch()
            finally:
                self._fetch_lock.release()

    def _wait_for_background_fetch(self) -> None:
        with self._changed:
            # A thread does not survive a fork: restart it in the child process.
            if self._cached is None and (self._retry_thread is None or not self._retry_thread.is_alive()):
                self._retry_thread = threading.Thread(
                    target=self._retry_until_fetched, name="oidc-keys", daemon=True
                )
                self._retry_thread.start()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._cached is not None or self._in_cooldown(), RETRY_WAIT_SECONDS
            )

    def _retry_until_fetched(self) -> None:
        """Retry after each cooldown until an attempt succeeds."""
        while self._cached is None:
            with self._changed:
                is_due = self._changed.wait_for(lambda: not self._in_cooldown(), POLL_SECONDS)
            if is_due:
                with self._fetch_lock:
                    self._try_fetch()

    def _try_fetch(self) -> None:
        try:
            self._cached = _FetchedKeys(self._fetch(), self._clock())
        except KeysUnobtainable as error:
            _log.warning("fetching the identity provider's keys failed: %s", error)
        finally:
            with self._changed:
                self._tried_at = self._clock()
                self._changed.notify_all()

    def _in_cooldown(self) -> bool:
        return self._tried_at is not None and self._is_within(self._tried_at, COOLDOWN_SECONDS)

    def _is_within(self, start: float, seconds: float) -> bool:
        # If the clock was set back, fetch again instead of waiting for it to catch up.
        return 0 <= self._clock() - start < seconds


CONNECT_SECONDS = 3
READ_SECONDS = 3
BODY_SECONDS = 5
MAX_BYTES = 1 << 20
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "image-gateway"}


@dataclass(frozen=True)
class FetchedDocument:
    """A decoded JSON document; `server_time` is the sender's clock in epoch seconds, if it told."""

    document: object
    server_time: float | None


def fetch_document(url: str) -> FetchedDocument:
    """Return a JSON document of the issuer. Raises KeysUnobtainable as `fetch_key_set`."""
    with _connections() as http:
        return _get_document(http, url)


def fetch_key_set(issuer: str, jwks_url: str | None) -> object:
    """Return the decoded JWKS from `jwks_url`, or from the `jwks_uri` in the issuer's discovery document.

    Does not follow redirects and ignores the proxy settings of the environment.

    Raises:
        KeysUnobtainable: The request failed, timed out or returned an unusable response.
    """
    with _connections() as http:
        return _get_json(http, jwks_url or _discover_keys(http, issuer))


def fetch_discovery(issuer: str) -> Discovery:
    """Return the issuer's discovery document. Raises KeysUnobtainable as `fetch_key_set`."""
    with _connections() as http:
        return _get_discovery(http, issuer)


def _connections() -> urllib3.PoolManager:
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    return urllib3.PoolManager(retries=False, timeout=timeout)


def _get_discovery(http: urllib3.PoolManager, issuer: str) -> Discovery:
    """Return the document after checking that it is for this issuer.

    https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation
    """
    document = _get_json(http, discovery_url(issuer))
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise KeysUnobtainable(f"{_host(issuer)} has a discovery document for another issuer")
    return document


def discovery_url(issuer: str) -> str:
    """Return the URL of the issuer's discovery document."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def _discover_keys(http: urllib3.PoolManager, issuer: str) -> str:
    return jwks_url_of(_get_discovery(http, issuer), issuer)


def jwks_url_of(discovery: Discovery, issuer: str) -> str:
    """Return the `jwks_uri` of a discovery document. Raises KeysUnobtainable if there is none to use."""
    url = discovery.get("jwks_uri")
    allowed = ("https://",) if issuer.lower().startswith("https:") else ("https://", "http://")
    if not isinstance(url, str) or not url.lower().startswith(allowed):
        raise KeysUnobtainable(f"{_host(issuer)} has no usable jwks_uri")
    return url


def _get_json(http: urllib3.PoolManager, url: str) -> object:
    return _get_document(http, url).document


def _get_document(http: urllib3.PoolManager, url: str) -> FetchedDocument:
    host = _host(url)
    try:
        with http.request(
            "GET", url, headers=_HEADERS, redirect=False, preload_content=False, decode_content=False
        ) as response:
            if response.status != 200:
                raise KeysUnobtainable(f"{host} answered {response.status}")
            return FetchedDocument(json.loads(_read_body(response, host)), _server_time(response.headers))
    except (HTTPError, OSError) as error:
        # The message may contain the full URL.
        raise IssuerUnreachable(f"{host}: {describe_connection_error(error)}") from None
    except (ValueError, RecursionError):
        raise KeysUnobtainable(f"{host} sent a response that is not JSON") from None


def _read_body(response: urllib3.BaseHTTPResponse, host: str) -> bytes:
    body, deadline = bytearray(), time.monotonic() + BODY_SECONDS
    while block := response.read1(65_536):
        body += block
        if len(body) > MAX_BYTES:
            raise KeysUnobtainable(f"{host} sent more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise KeysUnobtainable(f"{host} timeout: the response took longer than {BODY_SECONDS} seconds")
    return bytes(body)


def _server_time(headers: Mapping[str, str]) -> float | None:
    """Return the sender's clock: its Date, which a cache keeps, and the Age since (RFC 9111 §5.1)."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp() + int(headers.get("Age", "0"))
    except (KeyError, ValueError):
        return None


def _host(url: str) -> str:
    try:
        return parse_url(url).host or "?"
    except ValueError:
        return "?"
