"""Checks of the OpenID Connect issuer: discovery, keys, clock, and the client with which browsers sign in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from image_gateway.components import make_verifier
from image_gateway.doctor.oidc_client import check_client
from image_gateway.doctor.shown_settings import shown
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.identity.oidc_claims import DEFAULT_ALGORITHMS, IssuerUnreachable, KeysUnobtainable
from image_gateway.identity.oidc_keys import (
    Discovery,
    FetchedDocument,
    discovery_url,
    fetch_document,
    jwks_url_of,
)
from image_gateway.settings import Settings, SettingsError, is_loopback

SUBJECT = "oidc"
# The Date header has whole seconds.
DATE_SECONDS = 1
_NO_TOKENS = "Without the issuer's keys no token can be verified: clients get 503 or 401."


def check_oidc(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """Check how callers are identified; `clock` returns seconds since the epoch.

    One sign-in with a made-up code is sent to the token endpoint if OIDC_CLIENT_ID is set.
    """
    if settings.auth_mode != "oidc" or settings.oidc_issuer is None:
        yield Check(SUBJECT, "issuer", skipped=shown(settings, "AUTH_MODE"))
        return
    try:
        make_verifier(settings)
    except SettingsError as error:
        yield Check(SUBJECT, "settings", findings=(_unusable(error),))
        return
    yield Check(SUBJECT, "URL", settings.oidc_issuer, _find_plain_http(settings.oidc_issuer))
    yield from _check_issuer(_Fetcher(clock), settings, settings.oidc_issuer)


@dataclass(frozen=True)
class _Answer:
    """A document, and how far the sender's clock is ahead of ours in seconds, if it told."""

    fetched: FetchedDocument
    ahead: float | None
    uncertain: float


class _Fetcher:
    """Fetches documents and compares the clocks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def fetch(self, url: str) -> _Answer:
        """Return a JSON document; raises KeysUnobtainable."""
        before = self._clock()
        fetched = fetch_document(url)
        after = self._clock()
        ahead = None if fetched.server_time is None else fetched.server_time - (before + after) / 2
        return _Answer(fetched, ahead, (after - before) / 2 + DATE_SECONDS)


def _check_issuer(fetcher: _Fetcher, settings: Settings, issuer: str) -> Iterator[Check]:
    discovery: Discovery | None = None
    jwks_url = settings.oidc_jwks_url
    if jwks_url is not None and settings.oidc_client_id is None:
        yield Check(SUBJECT, "discovery", skipped="OIDC_JWKS_URL is set: the gateway does not ask for it")
    else:
        try:
            answer = fetcher.fetch(discovery_url(issuer))
        except KeysUnobtainable as error:
            yield Check(SUBJECT, "discovery", findings=(_failed_fetch("discovery", error, issuer),))
        else:
            findings = _find_wrong_issuer(answer.fetched.document, issuer)
            yield Check(SUBJECT, "discovery", issuer, findings)
            document = answer.fetched.document
            discovery = document if isinstance(document, Mapping) and not findings else None
    if jwks_url is None and discovery is not None:
        try:
            jwks_url = jwks_url_of(discovery, issuer)
        except KeysUnobtainable as error:
            yield Check(SUBJECT, "signing keys", findings=(_no_usable_key(error),))
    if jwks_url is None:
        return
    yield from _check_keys(fetcher, settings, jwks_url)
    if discovery is not None:
        yield from check_client(settings, discovery)


def _check_keys(fetcher: _Fetcher, settings: Settings, jwks_url: str) -> Iterator[Check]:
    # The optional dependencies are there: a verifier could be made.
    from image_gateway.identity.oidc_signatures import read_key_set

    try:
        answer = fetcher.fetch(jwks_url)
    except KeysUnobtainable as error:
        yield Check(SUBJECT, "signing keys", findings=(_failed_fetch("key set", error, jwks_url),))
        return
    try:
        keys = read_key_set(answer.fetched.document, DEFAULT_ALGORITHMS).keys
    except KeysUnobtainable as error:
        yield Check(SUBJECT, "signing keys", findings=(_no_usable_key(error),))
    else:
        algorithms = ", ".join(sorted({name for key in keys for name in key.algorithms}))
        yield Check(SUBJECT, "signing keys", f"{len(keys)} for {algorithms}")
    yield _check_clock(answer, settings.oidc_leeway_seconds)


def _check_clock(answer: _Answer, leeway: int) -> Check:
    if answer.ahead is None:
        return Check(SUBJECT, "clock", skipped="the issuer sends no Date header")
    detail = f"{round(answer.ahead):+d} s, OIDC_LEEWAY_SECONDS={leeway}"
    if abs(answer.ahead) <= leeway + answer.uncertain:
        return Check(SUBJECT, "clock", detail)
    side = "ahead of" if answer.ahead > 0 else "behind"
    finding = Finding(
        "oidc-clock-skew",
        Severity.BROKEN,
        f"the issuer's clock is {abs(answer.ahead):.0f} s {side} this machine's; "
        f"OIDC_LEEWAY_SECONDS={leeway}",
        "New tokens are refused as not yet valid, or valid ones as expired (RFC 7519 §4.1.4, §4.1.5).",
        "run an NTP client on this machine, such as chrony",
    )
    return Check(SUBJECT, "clock", detail, (finding,))


def _unusable(error: SettingsError) -> Finding:
    return Finding(
        "oidc-unusable",
        Severity.BROKEN,
        "; ".join(error.problems),
        "The gateway does not start.",
        "run pip install 'image-gateway[oidc]', and correct the OIDC_ settings",
    )


def _find_plain_http(issuer: str) -> tuple[Finding, ...]:
    parts = urlsplit(issuer)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return ()
    return (
        Finding(
            "oidc-plain-http",
            Severity.WARNING,
            f"OIDC_ISSUER={issuer} is not https",
            "Who can change the traffic can replace the keys and sign tokens of any user "
            "(OpenID Connect Discovery §4.3).",
            "use the issuer's https URL",
        ),
    )


def _find_wrong_issuer(document: object, issuer: str) -> tuple[Finding, ...]:
    found = document.get("issuer") if isinstance(document, Mapping) else None
    if found == issuer:
        return ()
    if not isinstance(found, str):
        what = "the discovery document names no issuer"
        remedy = "set OIDC_ISSUER to the URL that the provider's documentation calls the issuer"
    else:
        found = "".join(character for character in found[:200] if character.isprintable())
        what = f"the discovery document is of the issuer {found}, OIDC_ISSUER={issuer}"
        slash = found.rstrip("/") == issuer.rstrip("/")
        remedy = f"set OIDC_ISSUER={found}" + (" (only the slash at the end differs)" if slash else "")
    return (
        Finding(
            "oidc-wrong-issuer",
            Severity.BROKEN,
            what,
            "The gateway refuses the document, and tokens of another `iss` (OpenID Connect Discovery §4.3).",
            remedy,
        ),
    )


def _failed_fetch(what: str, error: KeysUnobtainable, url: str) -> Finding:
    if isinstance(error, IssuerUnreachable):
        return Finding(
            "oidc-unreachable",
            Severity.BROKEN,
            f"the {what} cannot be fetched: {error}",
            _NO_TOKENS,
            f"check name and port of {url}, the DNS server, the firewall and the issuer's TLS certificate",
        )
    return Finding(
        "oidc-bad-answer",
        Severity.BROKEN,
        f"the {what} cannot be read: {error}",
        _NO_TOKENS,
        f"open {url} in a browser: OIDC_ISSUER is probably not the issuer's URL; a redirect is not followed",
    )


def _no_usable_key(error: KeysUnobtainable) -> Finding:
    return Finding(
        "oidc-no-usable-key",
        Severity.BROKEN,
        str(error),
        _NO_TOKENS,
        f"let the issuer sign with one of {', '.join(DEFAULT_ALGORITHMS)} (RSA of 2048 bits or more), "
        "or correct OIDC_JWKS_URL",
    )
