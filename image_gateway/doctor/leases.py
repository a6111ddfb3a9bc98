"""Checks of leases: signing keys and their rotation, lifetimes, cookies."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from image_gateway.doctor.http_probe import ProbeFailed, probe
from image_gateway.doctor.shown_settings import is_development
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.domain.leases import Scope
from image_gateway.errors import LeaseExpired
from image_gateway.identity.lease_tokens import LeaseClaims, LeaseKey, LeaseTokens
from image_gateway.settings import Settings, is_loopback

SUBJECT = "lease"
# A random secret of 32 hexadecimal digits has fewer with a probability below one in 100,000.
LEAST_CHARACTERS = 8


def check_leases(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """Check the lease settings; asks the gateway at PUBLIC_URL, if there is one, whether it has the keys.

    The tokens that it is asked about are of no lease and open nothing.
    """
    if settings.auth_mode == "none":
        yield Check(SUBJECT, "keys", skipped="AUTH_MODE=none: everyone may read, without leases")
        return
    yield _check_keys(settings)
    yield from _check_rotation(settings, clock)
    yield Check(SUBJECT, "lifetimes", _lifetimes(settings), _find_short_lifetime(settings))
    if settings.gateway_auth_mode == "cookie":
        yield Check(SUBJECT, "cookies", findings=_find_insecure_cookie(settings))
    else:
        yield Check(SUBJECT, "cookies", skipped="GATEWAY_AUTH_MODE=url")


def _check_keys(settings: Settings) -> Check:
    keys = settings.lease_keys
    if not keys and is_development(settings):
        return Check(
            SUBJECT, "keys", skipped="LEASE_KEYS is not set: a random key per start, for development"
        )
    if not keys:
        finding = Finding(
            "lease-keys-missing",
            Severity.WARNING,
            "LEASE_KEYS is not set: the gateway makes a random key at each start",
            "All leases and the URLs with them end with a restart, and other gateways refuse them.",
            "set LEASE_KEYS=2026:$(openssl rand -hex 32), the same for all gateways",
        )
        return Check(SUBJECT, "keys", findings=(finding,))
    signing, *older = (key_id for key_id, _ in keys)
    detail = f"{signing} signs" + (f", also accepted: {', '.join(older)}" if older else "")
    return Check(SUBJECT, "keys", detail, (*_find_weak(keys), *_find_repeated(keys)))


def _find_weak(keys: tuple[tuple[str, str], ...]) -> Iterator[Finding]:
    for key_id, secret in keys:
        if len(set(secret)) < LEAST_CHARACTERS:
            yield Finding(
                "lease-key-weak",
                Severity.WARNING,
                f"the secret of the key {key_id} has only {len(set(secret))} different characters",
                "Who guesses it can make tokens for every lease.",
                "replace it by one from openssl rand -hex 32",
            )


def _find_repeated(keys: tuple[tuple[str, str], ...]) -> Iterator[Finding]:
    if len({secret for _, secret in keys}) < len(keys):
        yield Finding(
            "lease-key-repeated",
            Severity.WARNING,
            "two of LEASE_KEYS have the same secret",
            "A rotation to the same secret does not end what an old secret allows.",
            "give the first key a secret of its own, from openssl rand -hex 32",
        )


def _check_rotation(settings: Settings, clock: Callable[[], float]) -> Iterator[Check]:
    name, url = "keys of the running gateway", settings.public_url
    if not settings.lease_keys or url is None:
        reason = "LEASE_KEYS is not set" if url else "PUBLIC_URL is not set"
        yield Check(SUBJECT, name, skipped=reason)
        return
    refused = []
    for key_id, secret in settings.lease_keys:
        try:
            if not _gateway_knows(url, LeaseKey(key_id, secret), clock()):
                refused.append(key_id)
        except ProbeFailed as error:
            yield Check(SUBJECT, name, skipped=f"{url} does not tell: {error}")
            return
    yield Check(SUBJECT, name, url, tuple(_unknown_key(key_id, url) for key_id in refused))


def _gateway_knows(url: str, key: LeaseKey, now: float) -> bool:
    """Return whether a gateway accepts the signature of a token of no lease; raises ProbeFailed."""
    claims = LeaseClaims(
        str(uuid.uuid4()), str(uuid.uuid4()), "doctor", (Scope.DISK_READ.value,), int(now) + 60
    )
    token = LeaseTokens([key]).sign(claims)
    answer = probe(f"{url}/v1/l/{token}/manifest.json")
    if answer.status != LeaseExpired.status:
        raise ProbeFailed(f"it answers {answer.status} to an unknown lease")
    try:
        return bool(json.loads(answer.body)["error"]["code"] == LeaseExpired.code)
    except (ValueError, KeyError, TypeError):
        raise ProbeFailed("it answers 401, but not as image-gateway does") from None


def _unknown_key(key_id: str, url: str) -> Finding:
    return Finding(
        "lease-key-unknown",
        Severity.BROKEN,
        f"the gateway at {url} refuses tokens of the key {key_id}",
        "Leases that one gateway signs are refused by another one with 401.",
        "set the same LEASE_KEYS for all gateways and restart them; in a rotation add the new key to all "
        "as the last one, then move it to the front",
    )


def _lifetimes(settings: Settings) -> str:
    return f"{settings.lease_ttl_seconds} s, renewable for {settings.lease_session_seconds} s"


def _find_short_lifetime(settings: Settings) -> tuple[Finding, ...]:
    # nginx keeps the gateway's answer as long again.
    cached = settings.access_cache_seconds * (2 if settings.edge_token is not None else 1)
    if cached < settings.lease_ttl_seconds:
        return ()
    return (
        Finding(
            "lease-ttl-short",
            Severity.WARNING,
            f"permissions are cached for {cached} s (ACCESS_CACHE_SECONDS={settings.access_cache_seconds}), "
            f"LEASE_TTL_SECONDS={settings.lease_ttl_seconds}",
            "A lease that is revoked may be used until its end anyway.",
            "lower ACCESS_CACHE_SECONDS, or raise LEASE_TTL_SECONDS",
        ),
    )


def _find_insecure_cookie(settings: Settings) -> tuple[Finding, ...]:
    parts = urlsplit(settings.public_url or "")
    if parts.scheme != "http" or is_loopback(parts.hostname or ""):
        return ()
    return (
        Finding(
            "lease-cookie-insecure",
            Severity.BROKEN,
            f"GATEWAY_AUTH_MODE=cookie with PUBLIC_URL={settings.public_url}",
            "Lease cookies are Secure: browsers do not keep them without https (RFC 6265 §4.1.2.5).",
            "use https, or set GATEWAY_AUTH_MODE=url",
        ),
    )
