"""OIDC configuration and the validation of token claims."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from image_gateway.errors import Unauthenticated


class OidcUnusable(ValueError):
    """OIDC is misconfigured or its dependencies are missing; the message gives the reason."""


class KeysUnobtainable(Exception):
    """One attempt to fetch the issuer's keys failed; the message names the host and the reason, no secret."""


class IssuerUnreachable(KeysUnobtainable):
    """The issuer cannot be connected to, or does not answer in time."""


def refuse(reason: str) -> Unauthenticated:
    """Return the 401 error for an invalid token, with a challenge as in RFC 6750 §3.

    https://www.rfc-editor.org/rfc/rfc6750#section-3

    Args:
        reason: ASCII text without quotes and without any part of the token.
    """
    challenge = f'Bearer error="invalid_token", error_description="{reason}"'
    return Unauthenticated(reason, headers={"WWW-Authenticate": challenge})


DEFAULT_ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "EdDSA",
)


@dataclass(frozen=True)
class OidcRules:
    """How tokens are validated; `leeway` is in seconds.

    Without `jwks_url` the key set is found by OIDC discovery. `admin_claim` is the name of a claim that must
    be true, or `name=value`. Dots in a claim's name select nested objects, unless a claim has the full name.

    Raises:
        OidcUnusable: The rules would accept no token, or allow tokens signed with a shared secret.
    """

    issuer: str
    audience: tuple[str, ...]
    jwks_url: str | None = field(default=None, repr=False)
    user_claim: str = "sub"
    admin_claim: str | None = None
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    leeway: int = 30

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise OidcUnusable("needs an issuer and an audience")
        if not self.algorithms or not set(self.algorithms) <= set(DEFAULT_ALGORITHMS):
            raise OidcUnusable(f"supports only the algorithms {', '.join(DEFAULT_ALGORITHMS)}")
        name, equals, value = (self.admin_claim or "none").partition("=")
        if not name or (equals and not value):
            raise OidcUnusable("needs an admin claim in the form name or name=value")


@dataclass(frozen=True)
class Identity:
    """The caller as identified by the issuer."""

    user: str
    admin: bool


MAX_USER_LENGTH = 256


def read_claims(payload: bytes, rules: OidcRules, now: float) -> Mapping[str, object]:
    """Return the claims after validating their times, issuer and audience.

    Args:
        now: Seconds since the epoch.

    Raises:
        Unauthenticated: A claim is missing, malformed, expired or has the wrong value.
    """
    claims = _parse(payload)
    _check_times(claims, now, rules.leeway)
    if claims.get("iss") != rules.issuer:
        raise refuse("the token has the wrong issuer")
    if not _audience_matches(claims.get("aud"), rules.audience):
        raise refuse("the token has the wrong audience")
    return claims


def identity_of(claims: Mapping[str, object], rules: OidcRules) -> Identity:
    """Return whom validated claims name. Raises Unauthenticated if the user claim is missing or malformed."""
    return Identity(_read_user(claims, rules.user_claim), _is_admin(claims, rules.admin_claim))


def _parse(payload: bytes) -> Mapping[str, object]:
    try:
        claims = json.loads(payload.decode())
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise refuse("the token is malformed")
    return claims


def _check_times(claims: Mapping[str, object], now: float, leeway: int) -> None:
    if "exp" not in claims:
        raise refuse("the token has no exp claim")
    times = {name: _read_time(claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
    if times["exp"] <= now - leeway:
        raise refuse("the token has expired")
    if max(times.get("nbf", now), times.get("iat", now)) > now + leeway:
        raise refuse("the token is not yet valid")


def _read_time(value: object) -> float:
    # An int may be too large to convert to a float, but compares with one.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise refuse("the token is malformed: exp, nbf and iat must be numbers")


def _audience_matches(audience: object, accepted: tuple[str, ...]) -> bool:
    audiences = audience if isinstance(audience, list) else [audience]
    return all(isinstance(name, str) for name in audiences) and not set(accepted).isdisjoint(audiences)


def _read_user(claims: Mapping[str, object], name: str) -> str:
    user = _find_claim(claims, name)
    if not isinstance(user, str) or not 0 < len(user) <= MAX_USER_LENGTH or not user.isprintable():
        raise refuse("the token has no usable user claim")
    return user


def _is_admin(claims: Mapping[str, object], rule: str | None) -> bool:
    if rule is None:
        return False
    name, equals, wanted = rule.partition("=")
    value = _find_claim(claims, name)
    if not equals:
        return value is True
    if isinstance(value, str):
        return wanted == value or wanted in value.split(" ")
    return isinstance(value, list) and wanted in value


def _find_claim(claims: Mapping[str, object], name: str) -> object:
    # Names of namespaced claims are URLs, which contain dots.
    if name in claims:
        return claims[name]
    value: object = claims
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
