"""Sends requests to a gateway and reads its answers, based on urllib3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from image_gateway.client.credentials import Credentials, CredentialSource, user_name
from image_gateway.client.errors import ApiError, connection_error, gateway_error

CONNECT_SECONDS, READ_SECONDS = 10, 120
SEND_BLOCK = 256 * 1024

Value = TypeVar("Value")


class GatewayTransport:
    """Thread-safe HTTP connections to one gateway for one user.

    Credentials are sent to the gateway only, never to the store. A rejected request is retried once when the
    credential can be refreshed.

    Args:
        base_url: URL of the gateway, without `/v1`.
        who: A user id for AUTH_MODE=dev, or a credential.
        connections: Size of the connection pool.
    """

    def __init__(self, base_url: str, who: str | CredentialSource, *, connections: int = 8) -> None:
        self.base_url = base_url.rstrip("/")
        self._who = user_name(who) if isinstance(who, str) else who
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        self._http = urllib3.PoolManager(
            maxsize=connections, retries=False, timeout=timeout, blocksize=SEND_BLOCK
        )

    @property
    def who(self) -> CredentialSource:
        """The credential that authenticates the requests."""
        return self._who

    def send_json(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """Send a request to the gateway and return the JSON object that it answers with."""
        return parse(lambda answer: dict(answer.json()), self.send(method, path, body, **options))

    def page(self, path: str, records: str, filters: Mapping[str, str | int | None]) -> dict[str, Any]:
        """Return one page of a list: `records`, and `nextCursor` unless it is the last page."""
        query = urlencode({name: value for name, value in filters.items() if value is not None})
        page = self.send_json("GET", f"{path}?{query}" if query else path)
        parse(lambda answer: answer[records], page)
        return page

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
        who: CredentialSource | None = None,
        hidden: str | None = None,
        **options: Any,
    ) -> BaseHTTPResponse:
        """Send a request to the gateway.

        Args:
            body: Value that is sent as JSON.
            data: Bytes that are sent as they are, instead of `body`.
            who: Credential to use instead of the client's own.
            hidden: Text to mask in error messages, such as a share link's token.

        Raises:
            ApiError: The status is not `expected`, or the gateway could not be reached.
        """
        who = who or self._who
        sent = dict(headers or {})
        if data is not None:
            options["body"] = data
        if body is not None:
            sent["Content-Type"] = "application/json"
            options["body"] = json.dumps(body).encode()

        def send_with(credentials: Credentials) -> BaseHTTPResponse | ApiError:
            url = self.base_url + path
            response = self._send(method, url, headers={**credentials.headers, **sent}, **options)
            if response.status in expected:
                return response
            return _error_of(method, response, credentials.secret, hidden)

        credentials = who.credentials()
        result = send_with(credentials)
        if isinstance(result, ApiError) and who.replaces(credentials, result):
            result = send_with(who.credentials())
        if isinstance(result, ApiError):
            raise result
        return result

    @contextmanager
    def stream_range(self, path: str, start: int, stop: int, etag: str) -> Iterator[BaseHTTPResponse]:
        """Yield the unread response to a range request for version `etag`, and close it on exit.

        The status is 206, or 200 or 412 when there is another version (RFC 9110 section 13.2.2).
        """
        response = self.send(
            "GET",
            path,
            headers={"Range": f"bytes={start}-{stop - 1}", "If-Match": etag, "If-Range": etag},
            expected=(200, 206, 412),
            preload_content=False,
        )
        try:
            yield response
        except HTTPError as error:
            raise connection_error("GET", error) from None
        finally:
            # Unread data would be parsed as the next response on this connection.
            response.close()
            response.release_conn()

    def _send(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:
        try:
            return self._http.request(method, url, redirect=False, **options)
        except HTTPError as error:
            raise connection_error(method, error) from None


def _error_of(method: str, response: BaseHTTPResponse, *hidden: str | None) -> ApiError:
    try:
        return gateway_error(response, *hidden)
    except HTTPError as error:
        return connection_error(method, error)
    finally:
        # Unread data would be parsed as the next response on this connection.
        response.close()
        response.release_conn()


def parse(convert: Callable[[Any], Value], answer: Any) -> Value:
    """Convert a response body; raise ApiError when it does not have the gateway's format."""
    try:
        return convert(answer)
    except (ValueError, KeyError, TypeError):
        raise ApiError("the response is not a gateway's: check the address") from None
