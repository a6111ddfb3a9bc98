"""Creates the app with OpenTelemetry tracing, which is imported only for TRACING=true."""

from __future__ import annotations

from importlib.util import find_spec

from flask import Flask

from image_gateway.app import create_app
from image_gateway.components import open_store
from image_gateway.settings import Settings, SettingsError

_REQUIRED_PACKAGES = (
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.flask",
    "opentelemetry.instrumentation.botocore",
)


def check_tracing(settings: Settings) -> None:
    """Raise SettingsError if TRACING=true and a required package is not installed."""
    if settings.tracing and not all(_is_installed(name) for name in _REQUIRED_PACKAGES):
        raise SettingsError(["TRACING=true needs image-gateway[tracing]"])


def create_traced_app(settings: Settings) -> Flask:
    """Create the app with tracing, exported as configured by the OTEL_* variables.

    Call it after the fork: the exporter thread does not survive one.
    """
    check_tracing(settings)
    from image_gateway.observability.tracing import Tracing, export_otlp

    tracing = Tracing(export_otlp())
    tracing.trace_sdk()
    app = create_app(settings, store=open_store(settings, wrap=tracing.trace_reads))
    tracing.trace_requests(app)
    return app


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
