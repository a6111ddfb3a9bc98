"""Presigned PUTs of parts, as the SDK makes them but without its machinery, which costs ten times as much."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from image_gateway.storage.client import DEFAULT_PORTS, StoreClients

# The SDK learns of redirects to another region, which change the host.
TARGET_SECONDS = 60.0


class _Target(NamedTuple):
    """Where the SDK would send a request about an object, and the scope of its signature."""

    root: str
    path: str
    host: str
    region: str
    service: str


class PartSigner:
    """Signs UploadPart by query parameters (AWS Signature Version 4), byte for byte what the SDK would.

    The SDK is asked once a minute for one URL, whose host, path and region serve for all objects of the
    bucket. Credentials are the SDK's of this moment.
    """

    def __init__(
        self,
        clients: StoreClients,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._timer = timer
        self._known: tuple[float, _Target] | None = None

    def sign(self, key: str, upload_id: str, number: int, *, lifetime: int, length: int | None = None) -> str:
        """Return the URL; raises botocore's errors when there are no credentials.

        Args:
            lifetime: seconds from now.
            length: the only Content-Length that the store shall take; None for any.
        """
        target = self._target()
        credentials = self._clients.signing_credentials()
        moment = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{target.region}/{target.service}/aws4_request"
        headers, signed = f"host:{target.host}\n", "host"
        if length is not None:
            headers, signed = f"content-length:{length}\n{headers}", "content-length;host"
        path, upload = target.path + quote(key, safe="/"), quote(upload_id, safe="")
        signer = quote(f"{credentials.access_key}/{scope}", safe="")
        common = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={signer}"
            f"&X-Amz-Date={moment}&X-Amz-Expires={lifetime}"
        )
        names = f"&X-Amz-SignedHeaders={signed.replace(';', '%3B')}"
        token = ""
        if credentials.token is not None:
            token = f"&X-Amz-Security-Token={quote(credentials.token, safe='')}"
        # Signed in the order of names, sent in the SDK's.
        query = f"{common}{token}{names}&partNumber={number}&uploadId={upload}"
        request = f"PUT\n{path}\n{query}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
        signature = _hmac(_signing_key(credentials.secret_key, scope), text).hex()
        return (
            f"{target.root}{path}?uploadId={upload}&partNumber={number}"
            f"&{common}{names}{token}&X-Amz-Signature={signature}"
        )

    def _target(self) -> _Target:
        known, now = self._known, self._timer()
        if known is not None and now - known[0] < TARGET_SECONDS:
            return known[1]
        arguments = {"Bucket": self._clients.address.bucket, "Key": "k", "UploadId": "u", "PartNumber": 1}
        url = self._clients.signing.generate_presigned_url("upload_part", arguments)
        target = _target_of(url)
        self._known = now, target
        return target


def _target_of(url: str) -> _Target:
    """What a presigned URL of the object `k` says of every object."""
    parts = urlsplit(url)
    _, _, region, service, _ = parse_qs(parts.query)["X-Amz-Credential"][0].split("/")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    return _Target(f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("k"), host, region, service)


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, scope: str) -> bytes:
    """The key of a day, region and service; it changes at midnight and with the credentials."""
    key = f"AWS4{secret_key}".encode()
    for word in scope.split("/"):
        key = _hmac(key, word)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
