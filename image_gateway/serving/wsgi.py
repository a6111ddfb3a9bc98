"""WSGI entry point: creates the app from environment variables."""

from __future__ import annotations

import os

import click
from flask import Flask
from gunicorn.http.errors import ParseException

from image_gateway.app import create_app
from image_gateway.observability.logs import configure_logging
from image_gateway.routes.http.errors import answer_malformed_body
from image_gateway.serving.environment import EX_CONFIG, exit_with, read_settings_or_exit
from image_gateway.serving.lifecycle import STOPPING
from image_gateway.serving.startup import refuse_open_dev
from image_gateway.serving.tracing import create_traced_app
from image_gateway.settings import SettingsError

BOOT_ERROR = 3


def make_app() -> Flask:
    """Create the app from environment variables, or print the errors and exit."""
    settings = read_settings_or_exit()
    configure_logging(settings.log_level, settings.log_format)
    refuse_open_dev(settings, _flask_run_hosts())
    try:
        app = create_traced_app(settings) if settings.tracing else create_app(settings)
    except SettingsError as error:
        # gunicorn restarts an exited worker forever, but stops if a worker exits with status 3 at boot.
        exit_with(
            error, status=BOOT_ERROR if "gunicorn" in os.environ.get("SERVER_SOFTWARE", "") else EX_CONFIG
        )
    app.register_error_handler(ParseException, answer_malformed_body)
    app.wsgi_app = STOPPING.tell(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _flask_run_hosts() -> list[str]:
    """Return the host of `flask run`; gunicorn checks its hosts in `on_starting`."""
    context = click.get_current_context(silent=True)
    host = context.params.get("host") if context is not None else None
    return [host] if isinstance(host, str) else []
