"""The claims of a token whose signature is right: are they for us, now, and who is it?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from image_gateway.identity.oidc_errors import refuse
from image_gateway.identity.oidc_rules import Identity, OidcRules

MAX_USER_LENGTH = 256


def read_identity(payload: bytes, rules: OidcRules, now: float) -> Identity:
    """Return who the token speaks for at `now`, in seconds since 1970; raises Unauthenticated."""
    claims = _parse(payload)
    _check_times(claims, now, rules.leeway)
    if claims.get("iss") != rules.issuer:
        raise refuse("the token has the wrong issuer")
    if not _is_for(claims.get("aud"), rules.audience):
        raise refuse("the token has the wrong audience")
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
        raise refuse("the token never expires: it has no exp")
    times = {name: _read_time(claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
    if times["exp"] <= now - leeway:
        raise refuse("the token has expired")
    if max(times.get("nbf", now), times.get("iat", now)) > now + leeway:
        raise refuse("the token is not yet valid")


def _read_time(value: object) -> float:
    # An int may be too large for a float, yet compares with one.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise refuse("the token is malformed: exp, nbf and iat must be numbers")


def _is_for(audience: object, accepted: tuple[str, ...]) -> bool:
    named = audience if isinstance(audience, list) else [audience]
    return all(isinstance(name, str) for name in named) and not set(accepted).isdisjoint(named)


def _read_user(claims: Mapping[str, object], name: str) -> str:
    user = _find(claims, name)
    if not isinstance(user, str) or not 0 < len(user) <= MAX_USER_LENGTH or not user.isprintable():
        raise refuse("the token has no usable user claim")
    return user


def _is_admin(claims: Mapping[str, object], rule: str | None) -> bool:
    if rule is None:
        return False
    name, equals, wanted = rule.partition("=")
    value = _find(claims, name)
    if not equals:
        return value is True
    if isinstance(value, str):
        return wanted == value or wanted in value.split(" ")
    return isinstance(value, list) and wanted in value


def _find(claims: Mapping[str, object], name: str) -> object:
    # Claims that are named by a URL have dots in their names.
    if name in claims:
        return claims[name]
    value: object = claims
    for step in name.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
