"""Checks of the settings themselves, without asking anything outside."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.domain.findings import Check, Finding, Severity
from image_gateway.settings import Settings, SettingsError, is_loopback
from image_gateway.settings.doubts import (
    lacks_proxy,
    rejected_cookie_modes,
    signs_internal_name,
    trusts_any_host,
)

SUBJECT = "settings"


def invalid_settings(error: SettingsError) -> Check:
    """Return the check of settings that cannot be loaded, with a finding for each problem."""
    findings = [
        Finding(
            "settings-invalid",
            Severity.BROKEN,
            problem,
            "The gateway and its commands exit with status 78.",
            "correct the variable in the environment or .env; docs/reference/settings.md describes each",
        )
        for problem in error.problems
    ]
    return Check(SUBJECT, "the variables are valid", findings=tuple(findings))


def check_settings(settings: Settings) -> Iterator[Check]:
    """Yield what the start of the gateway warns of, too."""
    yield Check(SUBJECT, "the variables are valid")
    yield Check(
        SUBJECT,
        "they work together",
        findings=(*_browser_findings(settings), *_open_findings(settings)),
    )


def _browser_findings(settings: Settings) -> Iterator[Finding]:
    if signs_internal_name(settings):
        yield Finding(
            "settings-internal-endpoint",
            Severity.WARNING,
            f"presigned URLs use {settings.s3_public_endpoint or settings.s3_endpoint}",
            "A browser on another machine cannot resolve this name, so its uploads fail.",
            "set S3_PUBLIC_ENDPOINT to an address of the store that browsers can reach",
            ("uploads in browsers",),
        )
    modes = rejected_cookie_modes(settings)
    if modes:
        yield Finding(
            "settings-cookies-rejected",
            Severity.WARNING,
            f"{' and '.join(modes)} is cookie with CORS_ALLOW_ORIGIN=*",
            "Browsers reject cookies of answers that allow any origin (Fetch standard, CORS check).",
            "set CORS_ALLOW_ORIGIN to the origins of your pages, or these settings to url",
            ("pages of other origins",),
        )


def _open_findings(settings: Settings) -> Iterator[Finding]:
    hosts = (settings.host,)
    is_remote = not is_loopback(settings.host)
    if is_remote and settings.auth_mode == "dev":
        yield Finding(
            "settings-dev-auth",
            Severity.WARNING if settings.allow_insecure_dev_auth else Severity.BROKEN,
            f"AUTH_MODE=dev with HOST={settings.host}",
            "Anyone who reaches the gateway is whoever they say they are. Without ALLOW_INSECURE_DEV_AUTH "
            "the gateway does not start.",
            "set AUTH_MODE=oidc, or HOST=127.0.0.1",
        )
    if trusts_any_host(settings, hosts):
        yield Finding(
            "settings-any-host",
            Severity.WARNING,
            "neither PUBLIC_URL nor ALLOWED_HOSTS is set",
            "Returned URLs contain the Host header of the request, which clients control.",
            "set PUBLIC_URL to the public address of the gateway, or set ALLOWED_HOSTS",
        )
    if lacks_proxy(settings, hosts):
        yield Finding(
            "settings-no-proxy",
            Severity.WARNING,
            f"HOST={settings.host} and TRUSTED_PROXY_HOPS=0: clients connect to gunicorn itself",
            "Slow clients can occupy all threads.",
            "run nginx in front and set TRUSTED_PROXY_HOPS, see docs/how-to/front-door.md",
        )
