"""Checks of nginx in front: its TLS certificate, whether it answers, and the proxy hops."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from image_gateway.doctor.http_probe import ProbeFailed, TlsFailed, probe
from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.settings import Settings

SUBJECT = "edge"
DAY = 86_400
RENEWAL_DAYS = 14
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # nothing is bound here
_NO_SERVICE = "Clients cannot reach the gateway."


def check_edge(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """Check nginx as `image-gateway edge config` configures it; `clock` returns seconds since the epoch."""
    if settings.edge_token is None:
        yield Check(SUBJECT, "nginx", skipped="EDGE_TOKEN is not set")
        return
    detail = f"TRUSTED_PROXY_HOPS={settings.trusted_proxy_hops}"
    yield Check(SUBJECT, "proxy hops", detail, _find_wrong_hops(settings))
    certificate = list(_check_certificate(settings, clock))
    yield from certificate
    findings = [finding for check in certificate for finding in check.findings]
    is_missing = certificate[0].skipped is not None and settings.edge_tls_certificate is not None
    if is_missing or any(finding.severity is Severity.BROKEN for finding in findings):
        yield Check(SUBJECT, "answers", skipped="the certificate cannot be compared: see TLS certificate")
    else:
        yield _check_answer(settings)


def _find_wrong_hops(settings: Settings) -> tuple[Finding, ...]:
    hops = settings.trusted_proxy_hops
    if hops == 1:
        return ()
    return (
        Finding(
            "edge-proxy-hops",
            Severity.WARNING,
            f"TRUSTED_PROXY_HOPS={hops}, and nginx passes on one address in X-Forwarded-For",
            "The gateway takes nginx for the client: all clients share the limits of one address, "
            "and returned URLs have the scheme http.",
            "set TRUSTED_PROXY_HOPS=1; name load balancers in front of nginx in EDGE_REAL_IP_FROM",
        ),
    )


def _check_certificate(settings: Settings, clock: Callable[[], float]) -> Iterator[Check]:
    certificate, key = settings.edge_tls_certificate, settings.edge_tls_certificate_key
    if certificate is None or key is None:
        yield Check(SUBJECT, "TLS certificate", skipped="EDGE_TLS_CERTIFICATE is not set")
        return
    if not Path(certificate).parent.exists():
        # Settings are often shared by machines of which only one runs nginx.
        yield Check(SUBJECT, "TLS certificate", skipped=f"{certificate} is not on this machine")
        return
    unusable = _find_unusable_files(certificate, key)
    yield Check(SUBJECT, "TLS certificate", certificate, unusable)
    if not unusable:
        yield _check_expiry(Path(certificate), clock)


def _find_unusable_files(certificate: str, key: str) -> tuple[Finding, ...]:
    try:
        # A key with a pass phrase must not be asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError without a path.
        is_mismatch = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        what = (
            "the key is of another certificate"
            if is_mismatch
            else f"they cannot be loaded: {_load_reason(error)}"
        )
        return (
            Finding(
                "edge-tls-mismatch" if is_mismatch else "edge-tls-unreadable",
                Severity.BROKEN,
                f"{certificate} and {key}: {what}",
                f"nginx does not start. {_NO_SERVICE}",
                "set EDGE_TLS_CERTIFICATE and EDGE_TLS_CERTIFICATE_KEY to readable PEM files that belong "
                "together, the key without a pass phrase",
            ),
        )
    return ()


def _load_reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no certificate or key in PEM"
    return getattr(error, "strerror", None) or type(error).__name__


def _check_expiry(certificate: Path, clock: Callable[[], float]) -> Check:
    name = "TLS certificate's dates"
    try:
        from cryptography import x509
    except ModuleNotFoundError:
        return Check(SUBJECT, name, skipped="reading them needs image-gateway[fast]")
    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    starts, ends = found.not_valid_before_utc, found.not_valid_after_utc
    detail = f"until {ends:%Y-%m-%d %H:%M} UTC"
    days = (ends.timestamp() - clock()) / DAY
    if starts.timestamp() > clock():
        finding = _dates(
            "edge-tls-expired", Severity.BROKEN, f"{certificate} is valid from {starts:%Y-%m-%d}"
        )
    elif days <= 0:
        finding = _dates("edge-tls-expired", Severity.BROKEN, f"{certificate} expired on {ends:%Y-%m-%d}")
    elif days < RENEWAL_DAYS:
        what = f"{certificate} expires in {days:.1f} days"
        finding = _dates("edge-tls-expires-soon", Severity.WARNING, what)
    else:
        return Check(SUBJECT, name, detail)
    return Check(SUBJECT, name, detail, (finding,))


def _dates(code: str, severity: Severity, what: str) -> Finding:
    return Finding(
        code,
        severity,
        what,
        "Clients refuse to connect outside the dates of the certificate.",
        "renew the certificate and run nginx -s reload; check the timer of your ACME client",
    )


def _check_answer(settings: Settings) -> Check:
    name = "answers"
    scheme = "https" if settings.edge_tls_certificate is not None else "http"
    host = _ANY_ADDRESS.get(settings.edge_host, settings.edge_host)
    address = f"[{host}]" if ":" in host and not host.startswith("[") else host
    url = f"{scheme}://{address}:{settings.edge_port}"
    try:
        answer = probe(f"{url}/healthz", host=_public_host(settings), context=_only_certificate(settings))
    except TlsFailed as error:
        return Check(SUBJECT, name, findings=(_other_certificate(settings, error),))
    except ProbeFailed as error:
        if settings.public_url is not None:
            reason = f"not at {url} ({error}): nginx may run on another machine, see public-url"
            return Check(SUBJECT, name, skipped=reason)
        return Check(SUBJECT, name, findings=(_unreachable(f"nginx does not answer at {url}: {error}"),))
    if answer.status == 200:
        return Check(SUBJECT, name, url)
    finding = Finding(
        "edge-gateway-unreachable" if answer.status >= 500 else "edge-not-gateway",
        Severity.BROKEN,
        f"{url}/healthz answers {answer.status}",
        _NO_SERVICE,
        "start the gateway, and correct EDGE_GATEWAY"
        if answer.status >= 500
        else "write nginx.conf by `image-gateway edge config`, and reload nginx",
    )
    return Check(SUBJECT, name, findings=(finding,))


def _only_certificate(settings: Settings) -> ssl.SSLContext | None:
    """Return a context that accepts the configured certificate alone, without its authority."""
    if settings.edge_tls_certificate is None:
        return None
    context = ssl.create_default_context(cafile=settings.edge_tls_certificate)
    # The certificate names the public host, and nginx is asked by its address.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _other_certificate(settings: Settings, error: TlsFailed) -> Finding:
    return Finding(
        "edge-tls-other-certificate",
        Severity.WARNING,
        f"nginx does not use the certificate in {settings.edge_tls_certificate}: {error}",
        "A renewed certificate is of no use before nginx reads it: clients see the old one until it expires.",
        "run nginx -s reload, and let the ACME client do so after each renewal",
    )


def _public_host(settings: Settings) -> str | None:
    if settings.public_url is not None:
        return settings.public_url.partition("://")[2]
    return settings.allowed_hosts[0] if settings.allowed_hosts else None


def _unreachable(what: str) -> Finding:
    return Finding(
        "edge-unreachable",
        Severity.WARNING,
        what,
        f"{_NO_SERVICE} This matters if nginx is to run on this machine.",
        "run nginx -t and start nginx; if it is on another machine, set PUBLIC_URL, which is checked, too",
    )
