"""Reading objects: by the SDK, or leaner over a pool of our own by URLs that the SDK signs once in a while.

Both give the SDK's shape of answer and raise its errors. A presigned GET does not sign Range and If-Match, so
one URL serves all reads of an object for some minutes, and a read costs no signature at all.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import botocore.session
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import get_cert_path
from urllib3.exceptions import HTTPError

from image_gateway.storage.client import DEFAULT_PORTS, StoreAddress, StoreClients
from image_gateway.storage.http_pool import Connection, HttpConnectionPool, IdleSockets, make_request

ATTEMPTS = 3
LONGEST_BACKOFF = 20.0
URL_LIFETIME = 900
URL_REUSED_FOR = 300.0
URLS_KEPT = 4096


class ObjectReader(Protocol):
    """A GetObject of one bucket; `arguments` are Range, IfMatch and IfUnmodifiedSince in the SDK's words.

    `once` asks for no second try: the caller has a patience of its own.
    """

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]: ...

    def sign(self, key: str) -> SplitResult:
        """A presigned GET of an object, good for ten minutes and more."""
        ...


class SdkReader:
    """GetObject as the SDK does it, with its own retries."""

    def __init__(self, clients: StoreClients) -> None:
        self._clients = clients
        self._urls = PresignedUrls(clients)

    def sign(self, key: str) -> SplitResult:
        return self._urls.get(key)

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]:
        client = self._clients.requests_once if once else self._clients.requests
        return client.get_object(Bucket=self._clients.address.bucket, Key=key, **arguments)


class PresignedReader:
    """GetObject with the SDK's credentials, endpoint and signature, and little else of it.

    It reads answers 200 and 206 of known length. Every other answer is closed and the SDK asks again, which
    knows all forms of errors, redirects between regions, expired credentials, and when to try again: AWS
    sends its error documents chunked, proxies send HTML. Connections that fail are tried up to three times; a
    kept connection that turns out to be closed is no try. For one process: made after a fork.
    """

    def __init__(self, clients: StoreClients, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._urls = PresignedUrls(clients)
        self._sdk = SdkReader(clients)
        self._address = clients.address
        self._sleep = sleep
        self._lock = threading.Lock()
        self._pools: dict[str, HttpConnectionPool] = {}

    def sign(self, key: str) -> SplitResult:
        return self._urls.get(key)

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]:
        """Begin to read an object; raises botocore's ClientError, or its errors of connections."""
        answer = self._try(key, _headers_of(arguments), 1 if once else ATTEMPTS)
        if answer is not None:
            return answer
        # Signed for another region, by credentials that expired, or by a clock that was wrong.
        self._urls.forget(key)
        return self._sdk.get(key, arguments, once=once)

    def _try(self, key: str, headers: Mapping[str, str], attempts: int) -> dict[str, Any] | None:
        for attempt in range(1, attempts):
            try:
                return self._send_request(key, headers)
            except (EndpointConnectionError, ReadTimeoutError):
                self._sleep(min(random.random() * 2 ** (attempt - 1), LONGEST_BACKOFF))  # noqa: S311  # jitter
        return self._send_request(key, headers)

    def _send_request(self, key: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
        url = self._urls.get(key)
        try:
            return _exchange(self._pool_for(url), url, headers)
        except (OSError, HTTPError) as error:
            kind = ReadTimeoutError if isinstance(error, TimeoutError) else EndpointConnectionError
            # Without the query, which is a secret.
            raise kind(endpoint_url=f"{url.scheme}://{url.netloc}") from None

    def _pool_for(self, url: SplitResult) -> HttpConnectionPool:
        """The connections to a URL's host; a bucket has one, or another one after a redirect."""
        with self._lock:
            pool = self._pools.get(url.netloc)
            if pool is None:
                pool = self._pools[url.netloc] = HttpConnectionPool(
                    scheme=url.scheme,
                    host=url.hostname or "",
                    port=url.port or DEFAULT_PORTS[url.scheme],
                    connect_timeout=self._address.connect_timeout,
                    read_timeout=self._address.read_timeout,
                    ca_bundle=_ca_bundle(),
                    pool=IdleSockets(self._address.pool_size),
                )
            return pool


class PresignedUrls:
    """Presigned GETs by key, signed anew after five minutes: long before they, or the credentials, expire."""

    def __init__(self, clients: StoreClients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._urls: OrderedDict[str, tuple[float, SplitResult]] = OrderedDict()

    def get(self, key: str) -> SplitResult:
        """A URL that reads this object."""
        now = time.monotonic()
        with self._lock:
            signed = self._urls.get(key)
        if signed is not None and now - signed[0] < URL_REUSED_FOR:
            return signed[1]
        arguments = {"Bucket": self._clients.address.bucket, "Key": key}
        url = urlsplit(
            self._clients.requests.generate_presigned_url("get_object", arguments, ExpiresIn=URL_LIFETIME)
        )
        with self._lock:
            self._urls[key] = (now, url)
            while len(self._urls) > URLS_KEPT:
                self._urls.popitem(last=False)
        return url

    def forget(self, key: str) -> None:
        with self._lock:
            self._urls.pop(key, None)


def read_origin(address: StoreAddress) -> str:
    """Scheme and host of the URLs that objects are read by, as the SDK builds them."""
    unsigned = replace(address, credentials=address.credentials or ("none", "none"))
    url = PresignedUrls(StoreClients(unsigned)).get("object")
    return f"{url.scheme}://{url.netloc}"


def make_reader(clients: StoreClients) -> ObjectReader:
    """The lean way, unless a proxy of the environment stands between: that is the SDK's business."""
    endpoint = clients.address.endpoint
    host = urlsplit(endpoint).hostname if endpoint else "amazonaws.com"
    proxied = bool(getproxies().keys() & {"http", "https", "all"}) and not proxy_bypass(host or "")
    return SdkReader(clients) if proxied else PresignedReader(clients)


class _Body:
    """The rest of an answer, of known length; the connection is kept when all of it was read."""

    def __init__(self, connection: Connection, length: int, *, keep: bool) -> None:
        self._connection: Connection | None = connection
        self._left = length
        self._keep = keep
        if not length:
            self._finish()

    def read(self, amount: int | None = None) -> bytes:
        """Up to `amount` bytes, nothing after the last one or when the connection has ended."""
        if self._connection is None:
            return b""
        wanted = self._left if amount is None else min(amount, self._left)
        data = self._connection.read(wanted)
        self._left -= len(data)
        if not self._left:
            self._finish()
        return data

    def close(self) -> None:
        """Let the connection go; one with bytes still to come cannot be used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._keep:
            connection.keep()
        elif connection is not None:
            connection.close()


def _exchange(
    pool: HttpConnectionPool, url: SplitResult, headers: Mapping[str, str]
) -> dict[str, Any] | None:
    """Send a GET once, on a kept connection if one is still open; None as `_send_request`."""
    request = make_request(url.netloc, f"{url.path}?{url.query}", headers)
    kept = pool.take()
    if kept is not None:
        try:
            return _send_request(kept, request)
        except TimeoutError:
            raise
        except OSError:
            # It ended while nobody looked: what follows is the first real try.
            kept.close()
    return _send_request(pool.connect(), request)


def _send_request(connection: Connection, request: bytes) -> dict[str, Any] | None:
    """The answer in the SDK's shape; None when it is not 200 or 206 with a length."""
    try:
        status, headers = connection.send_request(request)
        length = _length_of(headers)
        if status not in (200, 206) or length is None:
            connection.close()
            return None
        body = _Body(connection, length, keep=headers.get("connection", "").lower() != "close")
        return _answer(headers, length, body)
    except BaseException:
        connection.close()
        raise


def _length_of(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    if "transfer-encoding" in headers or not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        return None
    return int(text)


def _answer(headers: Mapping[str, str], length: int, body: _Body) -> dict[str, Any]:
    given = {
        "ETag": headers.get("etag"),
        "CacheControl": headers.get("cache-control"),
        "ContentEncoding": headers.get("content-encoding"),
        "ContentRange": headers.get("content-range"),
        "LastModified": _date(headers["last-modified"]) if "last-modified" in headers else None,
    }
    answer: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return {**answer, "ContentLength": length, "Body": body}


def _headers_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    headers = {}
    if "Range" in arguments:
        headers["Range"] = arguments["Range"]
    if "IfMatch" in arguments:
        headers["If-Match"] = arguments["IfMatch"]
    if "IfUnmodifiedSince" in arguments:
        moment: datetime = arguments["IfUnmodifiedSince"]
        headers["If-Unmodified-Since"] = format_datetime(moment.astimezone(UTC), usegmt=True)
    return headers


@lru_cache(maxsize=1024)
def _date(text: str) -> datetime:
    return parsedate_to_datetime(text)


def _ca_bundle() -> str:
    """The certificates that the SDK would trust."""
    configured = botocore.session.get_session().get_config_variable("ca_bundle")
    return str(configured or get_cert_path(True))
