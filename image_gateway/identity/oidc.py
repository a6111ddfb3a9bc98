"""Verifies bearer JWTs of an OpenID Connect issuer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from image_gateway.errors import Unauthenticated
from image_gateway.identity.oidc_claims import (
    DEFAULT_ALGORITHMS,
    Identity,
    OidcRules,
    OidcUnusable,
    identity_of,
    read_claims,
)
from image_gateway.identity.oidc_keys import KeyCache, fetch_key_set

if TYPE_CHECKING:
    from image_gateway.identity.oidc_signatures import Header, KeySet, Tokens

__all__ = ["DEFAULT_ALGORITHMS", "Identity", "OidcRules", "OidcUnusable", "OidcVerifier"]


class OidcVerifier:
    """Verifies tokens with the issuer's published keys. Thread-safe.

    The keys are fetched with the first token, never at construction.

    Raises:
        OidcUnusable: The optional OIDC dependencies are not installed.
    """

    def __init__(self, rules: OidcRules, clock: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._clock = clock
        self._tokens, fetch = _import_libraries(rules)
        self._keys = KeyCache(fetch, clock)

    def for_audience(self, audience: str) -> OidcVerifier:
        """Return a verifier of tokens for another audience, with the same keys of the issuer."""
        other = copy(self)
        other._rules = replace(self._rules, audience=(audience,))
        return other

    def verify(self, token: str) -> Identity:
        """Return the identity that the token asserts.

        Raises:
            Unauthenticated: The token is invalid.
            IdentityUnavailable: The issuer's keys have never been fetched successfully.
        """
        return self.verify_claims(token)[0]

    def verify_claims(self, token: str) -> tuple[Identity, Mapping[str, object]]:
        """Return the identity that the token asserts, and all its claims. Raises the errors of `verify`."""
        header = self._tokens.read_header(token)
        claims = read_claims(self._verified_payload(token, header), self._rules, self._clock())
        return identity_of(claims, self._rules), claims

    def _verified_payload(self, token: str, header: Header) -> bytes:
        keys = self._keys.get()
        try:
            return self._tokens.read_payload(token, header, keys)
        except Unauthenticated:
            # The issuer may have rotated its keys, possibly under the same key id.
            newer = self._keys.get_newer(keys)
            if newer is None:
                raise
        return self._tokens.read_payload(token, header, newer)


def _import_libraries(rules: OidcRules) -> tuple[Tokens, Callable[[], KeySet]]:
    try:
        from image_gateway.identity.oidc_signatures import Tokens, read_key_set
    except ModuleNotFoundError:
        raise OidcUnusable("needs image-gateway[oidc]") from None

    def fetch() -> KeySet:
        return read_key_set(fetch_key_set(rules.issuer, rules.jwks_url), rules.algorithms)

    return Tokens(rules.algorithms), fetch
