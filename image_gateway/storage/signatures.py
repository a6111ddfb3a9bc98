"""AWS Signature Version 4: what the signers of this package have in common."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from image_gateway.storage.client import DEFAULT_PORTS


class SigningTarget(NamedTuple):
    """URL parts and signature scope that are common to all objects of the bucket."""

    root: str
    path: str
    host: str
    region: str
    service: str


def sign_request(secret_key: str | None, scope: str, moment: str, request: str) -> str:
    """Return the signature in hex of a canonical request; `moment` is its X-Amz-Date."""
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    return _hmac(_signing_key(secret_key, scope), text).hex()


def parse_target(url: str) -> SigningTarget:
    """Parse a presigned URL of the object `k`."""
    parts = urlsplit(url)
    _, _, region, service, _ = parse_qs(parts.query)["X-Amz-Credential"][0].split("/")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    return SigningTarget(
        f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("k"), host, region, service
    )


@lru_cache(maxsize=8)
def _signing_key(secret_key: str | None, scope: str) -> bytes:
    """Return the signing key for a scope; it changes daily and with the credentials."""
    key = f"AWS4{secret_key}".encode()
    for word in scope.split("/"):
        key = _hmac(key, word)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
