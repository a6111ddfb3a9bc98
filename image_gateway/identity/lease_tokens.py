"""Signs and verifies lease tokens, which fit into one URL path segment.

Format: `igl~<key id>~<claims>~<signature>`, with claims as base64url JSON and HMAC-SHA-256 over everything
before the signature. A token has no dot, because some readers treat the text after the last dot of a URL as
the file extension and insert the names that they derive before it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from itsdangerous import Signer

from image_gateway.domain.leases import Lease

PREFIX = "igl"
MAX_TOKEN = 1024
_TOKEN = re.compile(r"igl~([A-Za-z0-9_-]{1,32})~([A-Za-z0-9_-]+)~[A-Za-z0-9_-]+", re.ASCII)
_SALT = "image-gateway lease"


class BadToken(Exception):
    """The token is malformed or not signed by one of the configured keys."""


@dataclass(frozen=True)
class LeaseClaims:
    """The claims of a token; scopes in ascending order, the session's end in epoch seconds."""

    lease_id: str
    image_id: str
    version: str
    scopes: tuple[str, ...]
    session_end: int

    @classmethod
    def of(cls, lease: Lease) -> LeaseClaims:
        """Return the claims of a lease."""
        scopes = tuple(sorted(scope.value for scope in lease.scopes))
        session_end = int(lease.session_ends_at.timestamp())
        return cls(lease.lease_id, lease.image_id, lease.version, scopes, session_end)


@dataclass(frozen=True)
class LeaseKey:
    """A signing key; `key_id` is part of each token that it signs."""

    key_id: str
    secret: str = field(repr=False)


class LeaseTokens:
    """Signs with the first key and verifies with all of them. To rotate keys, insert the new one first."""

    def __init__(self, keys: Sequence[LeaseKey]) -> None:
        self._signing_key_id = keys[0].key_id
        self._signers = {key.key_id: _make_signer(key) for key in keys}

    def sign(self, claims: LeaseClaims) -> str:
        """Return the token for these claims."""
        document = [
            claims.lease_id,
            claims.image_id,
            claims.version,
            list(claims.scopes),
            claims.session_end,
        ]
        payload = base64.urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).rstrip(b"=")
        value = b"~".join([PREFIX.encode(), self._signing_key_id.encode(), payload])
        return self._signers[self._signing_key_id].sign(value).decode()

    def verify(self, token: str) -> LeaseClaims:
        """Return the claims of a token that one of the keys signed, valid lease or not.

        Raises:
            BadToken: The token is malformed, or no key matches its signature.
        """
        match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN else None
        signer = self._signers.get(match[1]) if match else None
        if match is None or signer is None:
            raise BadToken
        # Signer.unsign is too lenient: several spellings of a base64 signature's last character decode alike.
        value, _, _ = token.rpartition("~")
        if not hmac.compare_digest(signer.sign(value), token.encode()):
            raise BadToken
        return _parse_claims(match[2])


def looks_like_lease(text: str) -> bool:
    """Return whether a bearer token has the lease prefix, which a JWT never has."""
    return text.startswith(f"{PREFIX}~")


def _make_signer(key: LeaseKey) -> Signer:
    return Signer(key.secret, salt=_SALT, sep="~", key_derivation="hmac", digest_method=hashlib.sha256)


def _parse_claims(payload: str) -> LeaseClaims:
    """Parse a payload with a valid signature; raises BadToken if another program signed it."""
    try:
        document = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        lease_id, image_id, version, scopes, session_end = document
        claims = LeaseClaims(lease_id, image_id, version, tuple(scopes), session_end)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadToken from error
    texts = (claims.lease_id, claims.image_id, claims.version, *claims.scopes)
    if not isinstance(scopes, list) or not all(isinstance(text, str) for text in texts):
        raise BadToken
    return claims
