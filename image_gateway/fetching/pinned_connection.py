"""Sends requests to the very address that was judged, and judges every redirect anew."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPMessage, IncompleteRead, RemoteDisconnected

from image_gateway.errors import FetchFailed, SourceRefused
from image_gateway.fetching.pinned_socket import PinnedSocket
from image_gateway.fetching.resolution import Lookup, resolve
from image_gateway.fetching.url_rules import FetchRules, SourceUrl, parse_redirect

MAX_HEADER_BYTES = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "image-gateway",
}


class Connector:
    """Sends GET requests by the rules. Ignores the proxy settings of the environment.

    Args:
        lookup: Resolver with the interface of `socket.getaddrinfo`.
        tls: Context that verifies certificates; by default with the system's authorities.
    """

    def __init__(
        self, rules: FetchRules, *, lookup: Lookup = socket.getaddrinfo, tls: ssl.SSLContext | None = None
    ) -> None:
        self._rules, self._lookup, self._given_tls = rules, lookup, tls

    def get(self, url: SourceUrl, headers: Mapping[str, str]) -> Answer:
        """Return the first answer that is not a redirect; the caller closes it.

        Raises:
            BadRequest: The rules forbid an address or a redirect.
            FetchFailed: There was no usable answer.
        """
        for _ in range(self._rules.max_redirects + 1):
            answer = self._send(url, headers)
            if answer.status not in _REDIRECTS:
                return answer
            answer.close()
            location = answer.headers.get("Location")
            if location is None:
                raise SourceRefused(f"{url.host} sent a redirect without a target", retryable=False)
            url = parse_redirect(url, location, self._rules)
        raise SourceRefused(f"more than {self._rules.max_redirects} redirects", retryable=False)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    def _send(self, url: SourceUrl, headers: Mapping[str, str]) -> Answer:
        addresses = resolve(url, self._rules, self._lookup)
        tls = self._tls if url.scheme == "https" else None
        connected = PinnedSocket(url.host, addresses, self._rules, tls)
        try:
            return Answer(connected, url, headers, self._rules.stall_seconds)
        except BaseException:
            connected.close()
            raise


class Answer:
    """The answer to one request, and its body as it arrives."""

    def __init__(
        self, connected: PinnedSocket, url: SourceUrl, headers: Mapping[str, str], stall_seconds: float
    ) -> None:
        self.host = url.host
        self._socket, self._stall_seconds = connected, stall_seconds
        connection = _SingleConnection(url, connected.socket)
        try:
            with connected.watchdog.limit(stall_seconds):
                connection.request("GET", url.target, headers={"Host": url.authority, **_HEADERS, **headers})
                self._response = connection.getresponse()
        except (RemoteDisconnected, OSError) as error:
            raise self._failure(error) from None
        except HTTPException as error:
            if connected.watchdog.expired:
                raise self._failure(error) from None
            # Also for more than 100 headers or 64 KiB in one line.
            text = f"{self.host} sent a response that is not valid HTTP ({type(error).__name__})"
            raise SourceRefused(text, retryable=False) from None
        # http.client takes headers for complete when the connection ends.
        if connected.watchdog.expired:
            self.close()
            raise self._failure(TimeoutError())
        self.status: int = self._response.status
        self.headers: HTTPMessage = self._response.headers
        if sum(len(name) + len(value) for name, value in self.headers.items()) > MAX_HEADER_BYTES:
            self.close()
            raise SourceRefused(
                f"{self.host} sent more than {MAX_HEADER_BYTES} bytes of headers", retryable=False
            )

    @property
    def is_chunked(self) -> bool:
        """Whether the body tells its own end."""
        return bool(self._response.chunked)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes as soon as there are some, and nothing at the body's end.

        Raises:
            FetchFailed: The connection broke or stalled.
        """
        try:
            with self._socket.watchdog.limit(self._stall_seconds):
                block = self._response.read1(size)
        except (OSError, ValueError, HTTPException) as error:
            raise self._failure(error) from None
        if self._socket.watchdog.expired:
            raise self._failure(TimeoutError())
        return block

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._response.close()
        self._socket.close()

    def _failure(self, error: Exception) -> FetchFailed:
        if isinstance(error, TimeoutError) or self._socket.watchdog.expired:
            text = f"{self.host} sent nothing usable for {self._stall_seconds:g} seconds"
        elif isinstance(error, RemoteDisconnected | IncompleteRead | ConnectionError):
            text = f"{self.host} broke the connection off"
        else:
            text = f"the connection to {self.host} failed ({type(error).__name__})"
        return FetchFailed(text, retryable=True)


class _SingleConnection(HTTPConnection):
    """HTTP over a socket that is connected; never connects by itself."""

    def __init__(self, url: SourceUrl, connected: socket.socket) -> None:
        super().__init__(url.host, url.port)
        self.auto_open = 0
        self.sock = connected
