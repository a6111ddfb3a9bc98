"""TRACING=true: the app with OpenTelemetry, which is not even imported otherwise."""

from __future__ import annotations

from importlib.util import find_spec

from flask import Flask

from image_gateway.app import create_app, open_store
from image_gateway.settings import Settings, SettingsError

_NEEDED = (
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.flask",
    "opentelemetry.instrumentation.botocore",
)


def check_tracing(settings: Settings) -> None:
    """Raise SettingsError when tracing is wanted and its packages are not there."""
    if settings.tracing and not all(_is_installed(name) for name in _NEEDED):
        raise SettingsError(["TRACING=true needs image-gateway[tracing]"])


def create_traced_app(settings: Settings) -> Flask:
    """Create the app with spans that are exported to where the OTEL_ variables say.

    Call it after a fork: the thread that exports spans does not survive one.
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
