"""TRACING=true: the app with OpenTelemetry, which is not even imported otherwise."""

from __future__ import annotations

from importlib.util import find_spec

from flask import Flask

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
    """The app with spans sent where the OTEL_ variables say.

    To be called after a fork: the thread that sends spans does not come along.
    """
    check_tracing(settings)
    from image_gateway.serving.spans import Tracing, export_otlp

    return Tracing(export_otlp()).create_app(settings)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
