"""Checks of PUBLIC_URL: scheme, accepted hosts, and whether this gateway answers there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from image_gateway.doctor.http_probe import Probed, ProbeFailed, TlsFailed, probe
from image_gateway.doctor.shown_settings import shown
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.routes.health import CONTRACT
from image_gateway.settings import Settings, is_loopback

SUBJECT = "public-url"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def check_public_url(settings: Settings) -> Iterator[Check]:
    """Check the address at which clients reach the gateway, from this machine."""
    url = settings.public_url
    if url is None:
        yield Check(SUBJECT, "scheme", skipped="PUBLIC_URL is not set")
        return
    yield Check(SUBJECT, "scheme", url, _find_plain_http(settings, url))
    yield Check(SUBJECT, "ALLOWED_HOSTS", findings=_find_refused_host(settings, url))
    try:
        answer = probe(f"{url}/healthz")
    except ProbeFailed as error:
        yield Check(SUBJECT, "answers", findings=(_no_answer(url, error),))
        return
    findings = _find_other_server(url, answer)
    yield Check(SUBJECT, "answers", f"{url}/healthz", findings)
    if not findings:
        yield _check_version(url)


def _find_plain_http(settings: Settings, url: str) -> tuple[Finding, ...]:
    parts = urlsplit(url)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return ()
    users = []
    if settings.console or settings.oidc_client_id is not None:
        users.append("the console's session cookie")
    if settings.gateway_auth_mode == "cookie":
        users.append("the lease cookie of GATEWAY_AUTH_MODE=cookie")
    why = "Tokens and leases can be read on the way"
    if users:
        why += f"; browsers do not keep {' and '.join(users)}, which needs https (RFC 6265 §4.1.2.5)"
    return (
        Finding(
            "public-url-plain-http",
            Severity.BROKEN if users else Severity.WARNING,
            f"PUBLIC_URL={url} is not https",
            f"{why}.",
            "end TLS in a proxy in front (docs/how-to/front-door.md) and set PUBLIC_URL=https://…",
        ),
    )


def _find_refused_host(settings: Settings, url: str) -> tuple[Finding, ...]:
    """Compare as the gateway does with the Host header of a request."""
    parts = urlsplit(url)
    names = {parts.netloc, parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])}
    if not settings.allowed_hosts or names & {*settings.allowed_hosts}:
        return ()
    return (
        Finding(
            "public-url-host-refused",
            Severity.BROKEN,
            f"{shown(settings, 'ALLOWED_HOSTS')} does not contain {parts.netloc} of PUBLIC_URL",
            "The gateway answers 400 to all requests of clients that use its own URLs.",
            f"add {parts.netloc} to ALLOWED_HOSTS",
        ),
    )


def _no_answer(url: str, error: ProbeFailed) -> Finding:
    if isinstance(error, TlsFailed):
        return Finding(
            "public-url-tls",
            Severity.BROKEN,
            f"{url} cannot be used by this machine: {error}",
            "Clients refuse to connect.",
            "renew the certificate, send its whole chain, and let it name the host; "
            "for an authority of your own set SSL_CERT_FILE",
        )
    return Finding(
        "public-url-unreachable",
        Severity.WARNING,
        f"{url} cannot be reached from here: {error}",
        "Clients use this address in every URL that the gateway returns.",
        "start the gateway and its proxy; ignore this if only this machine cannot reach the address",
    )


def _find_other_server(url: str, answer: Probed) -> tuple[Finding, ...]:
    if answer.status == 200 and _is_ok(answer.body):
        return ()
    location = answer.headers.get("Location", "")
    if 300 <= answer.status < 400 and location:
        # A Location may carry tokens in its query.
        target = urlsplit(location)
        what = f"{url}/healthz redirects to {target.scheme}://{target.hostname}"
        remedy = "set PUBLIC_URL to the address that answers without a redirect"
    elif answer.status in (502, 503, 504):
        what = f"{url}/healthz answers {answer.status}: the proxy there does not reach the gateway"
        remedy = "start the gateway, and correct its address in the proxy (EDGE_GATEWAY)"
    else:
        what = f"{url}/healthz answers {answer.status}, and not as image-gateway does"
        remedy = "set PUBLIC_URL to this gateway, and let the proxy pass on the paths unchanged"
    why = "Clients use this address in every URL that the gateway returns."
    return (Finding("public-url-not-gateway", Severity.BROKEN, what, why, remedy),)


def _is_ok(body: bytes) -> bool:
    try:
        return bool(json.loads(body) == {"ok": True})
    except ValueError:
        return False


def _check_version(url: str) -> Check:
    name = "runs this version"
    try:
        answer = probe(f"{url}/openapi.yaml")
    except ProbeFailed as error:
        return Check(SUBJECT, name, skipped=f"/openapi.yaml: {error}")
    if answer.status == 200 and answer.body == CONTRACT.read_bytes():
        return Check(SUBJECT, name)
    finding = Finding(
        "public-url-other-version",
        Severity.WARNING,
        f"{url}/openapi.yaml is not the one of this installation",
        "Another version runs there, so these checks may not hold for it.",
        "restart the gateway after an upgrade, or run doctor with the installation that serves",
    )
    return Check(SUBJECT, name, findings=(finding,))
