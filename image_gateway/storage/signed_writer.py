"""Writes objects over a connection pool, at a fraction of the SDK's cost, where their SHA-256 is known.

The SDK hashes a body for Content-MD5 and, over HTTP, once more to sign it. Here the signature covers the
SHA-256 that the caller has computed already, with which the store compares what it receives (AWS Signature
Version 4, header x-amz-content-sha256).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from botocore.exceptions import ReadTimeoutError
from urllib3.exceptions import HTTPError

from image_gateway.storage.client import DEFAULT_PORTS, StoreClients
from image_gateway.storage.http_pool import Connection, HttpConnectionPool, IdleSockets, make_request
from image_gateway.storage.part_signer import TARGET_SECONDS
from image_gateway.storage.presigned_reader import ca_bundle, is_proxied
from image_gateway.storage.signatures import SigningTarget, parse_target, sign_request


class SignedWriter:
    """Runs PutObject on one bucket. Create one per process, after a fork."""

    def __init__(self, clients: StoreClients, clock: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._clock = clock
        self._is_proxied = is_proxied(clients.address)
        self._lock = threading.Lock()
        self._found: tuple[float, SigningTarget, HttpConnectionPool] | None = None

    def put(self, key: str, data: bytes, sha256: str, headers: Mapping[str, str]) -> str | None:
        """Write an object and return its ETag, or None where the SDK has to write it.

        The SDK handles redirects, errors and retries. The object may be there by then: it is the same.

        Args:
            sha256: Of the data, in hex.
            headers: Of the object.

        Raises:
            NoCredentialsError: There are no credentials.
            ReadTimeoutError: The store did not answer in time, or did not accept the data.
        """
        if self._is_proxied:
            return None
        target, pool = self._target()
        path = target.path + quote(key, safe="/")
        length = {"Content-Length": str(len(data))}
        signed = self._sign(target, path, sha256)
        request = make_request(target.host, path, {**headers, **length, **signed}, "PUT") + data
        try:
            return _exchange(pool, request)
        except TimeoutError:
            raise ReadTimeoutError(endpoint_url=target.root) from None
        except (OSError, HTTPError):
            return None

    def _sign(self, target: SigningTarget, path: str, sha256: str) -> dict[str, str]:
        """Return the headers that sign a PUT of the path."""
        credentials = self._clients.request_credentials()
        moment = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"x-amz-content-sha256": sha256, "x-amz-date": moment}
        if credentials.token is not None:
            headers["x-amz-security-token"] = credentials.token
        scope = f"{moment[:8]}/{target.region}/{target.service}/aws4_request"
        named = {"host": target.host, **headers}
        lines, names = "".join(f"{name}:{value}\n" for name, value in named.items()), ";".join(named)
        request = f"PUT\n{path}\n\n{lines}\n{names}\n{sha256}"
        signature = sign_request(credentials.secret_key, scope, moment, request)
        credential = f"{credentials.access_key}/{scope}"
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _target(self) -> tuple[SigningTarget, HttpConnectionPool]:
        """Return the bucket's URL as the SDK builds it, asked anew each minute, and connections to it."""
        now = time.monotonic()
        with self._lock:
            found = self._found
            if found is not None and now - found[0] < TARGET_SECONDS:
                return found[1:]
            arguments = {"Bucket": self._clients.address.bucket, "Key": "k"}
            target = parse_target(self._clients.requests.generate_presigned_url("put_object", arguments))
            pool = found[2] if found is not None and found[1].root == target.root else self._new_pool(target)
            self._found = now, target, pool
            return target, pool

    def _new_pool(self, target: SigningTarget) -> HttpConnectionPool:
        url, address = urlsplit(target.root), self._clients.address
        return HttpConnectionPool(
            scheme=url.scheme,
            host=url.hostname or "",
            port=url.port or DEFAULT_PORTS[url.scheme],
            connect_timeout=address.connect_timeout,
            read_timeout=address.read_timeout,
            ca_bundle=ca_bundle(),
            pool=IdleSockets(address.pool_size),
        )


def _exchange(pool: HttpConnectionPool, request: bytes) -> str | None:
    """Send a PUT, on an idle connection if one is open. Returns None like `put`."""
    idle = pool.take()
    if idle is not None:
        try:
            return _send(idle, request)
        except TimeoutError:
            raise
        except OSError:
            # The peer closed the idle connection.
            idle.close()
    return _send(pool.connect(), request)


def _send(connection: Connection, request: bytes) -> str | None:
    """Return the ETag of an answer 200; None for another answer."""
    try:
        status, headers = connection.send_request(request)
    except BaseException:
        connection.close()
        raise
    if status != 200 or headers.get("content-length") != "0" or headers.get("connection") == "close":
        connection.close()
    else:
        connection.keep()
    return headers.get("etag") if status == 200 else None
