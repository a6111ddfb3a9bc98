"""Reads objects by the SDK, or faster by presigned URLs over a connection pool.

Both readers return the SDK's response format and raise its errors. A presigned GET does not sign Range and
If-Match, so one URL is reused for all reads of an object for some minutes, without a signature per read.
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
MAX_BACKOFF_SECONDS = 20.0
URL_LIFETIME_SECONDS = 900
URL_REUSE_SECONDS = 300.0
MAX_CACHED_URLS = 4096


class ObjectReader(Protocol):
    """Runs GetObject on one bucket; `arguments` are Range, IfMatch and IfUnmodifiedSince as in the SDK.

    `once` disables retries, for callers with their own retry loop.
    """

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]: ...

    def sign(self, key: str) -> SplitResult:
        """Return a presigned GET URL that is valid for at least ten minutes."""
        ...


class SdkReader:
    """Runs GetObject with the SDK and its retries."""

    def __init__(self, clients: StoreClients) -> None:
        self._clients = clients
        self._urls = PresignedUrls(clients)

    def sign(self, key: str) -> SplitResult:
        return self._urls.get(key)

    def get(self, key: str, arguments: Mapping[str, Any], *, once: bool = False) -> Mapping[str, Any]:
        client = self._clients.requests_once if once else self._clients.requests
        return client.get_object(Bucket=self._clients.address.bucket, Key=key, **arguments)


class PresignedReader:
    """Runs GetObject with presigned URLs and a connection pool.

    It handles responses 200 and 206 of known length. For any other response, it closes the connection and
    repeats the request with the SDK, which handles errors in all formats (AWS sends them chunked, proxies
    send HTML), redirects between regions, expired credentials and retries. Connection errors are retried up
    to twice; an idle connection that the peer has closed does not count as an attempt. Create one per
    process, after a fork.
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
        """Start reading an object. Raises botocore's ClientError or its connection errors."""
        answer = self._send_with_retries(key, _request_headers(arguments), 1 if once else ATTEMPTS)
        if answer is not None:
            return answer
        # The cached URL may be for another region, or signed with expired credentials or a wrong clock.
        self._urls.forget(key)
        return self._sdk.get(key, arguments, once=once)

    def _send_with_retries(
        self, key: str, headers: Mapping[str, str], attempts: int
    ) -> dict[str, Any] | None:
        for attempt in range(1, attempts):
            try:
                return self._send_request(key, headers)
            except (EndpointConnectionError, ReadTimeoutError):
                self._sleep(min(random.random() * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS))  # noqa: S311  # jitter
        return self._send_request(key, headers)

    def _send_request(self, key: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
        url = self._urls.get(key)
        try:
            return _exchange(self._pool_for(url), url, headers)
        except (OSError, HTTPError) as error:
            kind = ReadTimeoutError if isinstance(error, TimeoutError) else EndpointConnectionError
            # Without the query string, which contains the signature.
            raise kind(endpoint_url=f"{url.scheme}://{url.netloc}") from None

    def _pool_for(self, url: SplitResult) -> HttpConnectionPool:
        """Return the pool for a URL's host; a redirect may add a second host."""
        with self._lock:
            pool = self._pools.get(url.netloc)
            if pool is None:
                pool = self._pools[url.netloc] = HttpConnectionPool(
                    scheme=url.scheme,
                    host=url.hostname or "",
                    port=url.port or DEFAULT_PORTS[url.scheme],
                    connect_timeout=self._address.connect_timeout,
                    read_timeout=self._address.read_timeout,
                    ca_bundle=ca_bundle(),
                    pool=IdleSockets(self._address.pool_size),
                )
            return pool


class PresignedUrls:
    """Caches presigned GET URLs by key for five minutes, well before they or the credentials expire."""

    def __init__(self, clients: StoreClients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._urls: OrderedDict[str, tuple[float, SplitResult]] = OrderedDict()

    def get(self, key: str) -> SplitResult:
        """Return a presigned GET URL for this object."""
        now = time.monotonic()
        with self._lock:
            signed = self._urls.get(key)
        if signed is not None and now - signed[0] < URL_REUSE_SECONDS:
            return signed[1]
        arguments = {"Bucket": self._clients.address.bucket, "Key": key}
        url = urlsplit(
            self._clients.requests.generate_presigned_url(
                "get_object", arguments, ExpiresIn=URL_LIFETIME_SECONDS
            )
        )
        with self._lock:
            self._urls[key] = (now, url)
            while len(self._urls) > MAX_CACHED_URLS:
                self._urls.popitem(last=False)
        return url

    def forget(self, key: str) -> None:
        """Remove the URL of this object from the cache."""
        with self._lock:
            self._urls.pop(key, None)


def read_origin(address: StoreAddress) -> str:
    """Return scheme and host of the URLs that the SDK builds for reads."""
    unsigned = replace(address, credentials=address.credentials or ("none", "none"))
    url = PresignedUrls(StoreClients(unsigned)).get("object")
    return f"{url.scheme}://{url.netloc}"


def make_reader(clients: StoreClients) -> ObjectReader:
    """Return a PresignedReader, or an SdkReader if the environment configures a proxy for the store."""
    return SdkReader(clients) if is_proxied(clients.address) else PresignedReader(clients)


def is_proxied(address: StoreAddress) -> bool:
    """Return whether the environment configures a proxy for the store."""
    host = urlsplit(address.endpoint).hostname if address.endpoint else "amazonaws.com"
    return bool(getproxies().keys() & {"http", "https", "all"}) and not proxy_bypass(host or "")


class _Body:
    """The body of a response; returns the connection to the pool when it was read completely."""

    def __init__(self, connection: Connection, length: int, *, keep: bool) -> None:
        self._connection: Connection | None = connection
        self._remaining = length
        self._keep = keep
        if not length:
            self._finish()

    def read(self, amount: int | None = None) -> bytes:
        """Return up to `amount` bytes; empty at the end or if the connection was closed."""
        if self._connection is None:
            return b""
        wanted = self._remaining if amount is None else min(amount, self._remaining)
        data = self._connection.read(wanted)
        self._remaining -= len(data)
        if not self._remaining:
            self._finish()
        return data

    def close(self) -> None:
        """Close the connection if unread bytes remain, since it cannot be reused then."""
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
    """Send a GET, on an idle connection if one is open. Returns None like `_send_request`."""
    request = make_request(url.netloc, f"{url.path}?{url.query}", headers)
    idle = pool.take()
    if idle is not None:
        try:
            return _send_request(idle, request)
        except TimeoutError:
            raise
        except OSError:
            # The peer closed the idle connection: retry on a new one, which is the first counted attempt.
            idle.close()
    return _send_request(pool.connect(), request)


def _send_request(connection: Connection, request: bytes) -> dict[str, Any] | None:
    """Return the response in the SDK's format, or None if it is not 200 or 206 with a length."""
    try:
        status, headers = connection.send_request(request)
        length = _content_length(headers)
        if status not in (200, 206) or length is None:
            connection.close()
            return None
        body = _Body(connection, length, keep=headers.get("connection", "").lower() != "close")
        return _sdk_response(headers, length, body)
    except BaseException:
        connection.close()
        raise


def _content_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    if "transfer-encoding" in headers or not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        return None
    return int(text)


def _sdk_response(headers: Mapping[str, str], length: int, body: _Body) -> dict[str, Any]:
    fields = {
        "ETag": headers.get("etag"),
        "CacheControl": headers.get("cache-control"),
        "ContentType": headers.get("content-type"),
        "ContentEncoding": headers.get("content-encoding"),
        "ContentRange": headers.get("content-range"),
        "LastModified": _parse_http_date(headers["last-modified"]) if "last-modified" in headers else None,
    }
    answer: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    return {**answer, "ContentLength": length, "Body": body}


def _request_headers(arguments: Mapping[str, Any]) -> dict[str, str]:
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
def _parse_http_date(text: str) -> datetime:
    return parsedate_to_datetime(text)


def ca_bundle() -> str:
    """Return the path of the CA certificates that the SDK uses."""
    configured = botocore.session.get_session().get_config_variable("ca_bundle")
    return str(configured or get_cert_path(True))
