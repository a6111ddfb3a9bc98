"""The app as a WSGI server loads it: settings from the environment, mistakes printed, not raised."""

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
    """Create the app from the environment, or print what is wrong with it and exit."""
    settings = read_settings_or_exit()
    configure_logging(settings.log_level, settings.log_format)
    refuse_open_dev(settings, _hosts_of_flask_run())
    try:
        app = create_traced_app(settings) if settings.tracing else create_app(settings)
    except SettingsError as error:
        # gunicorn starts a worker that exited for ever again, but stops when one cannot boot.
        exit_with(
            error, status=BOOT_ERROR if "gunicorn" in os.environ.get("SERVER_SOFTWARE", "") else EX_CONFIG
        )
    app.register_error_handler(ParseException, answer_malformed_body)
    app.wsgi_app = STOPPING.tell(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _hosts_of_flask_run() -> list[str]:
    """Where `flask run` is going to listen; other servers check for themselves."""
    context = click.get_current_context(silent=True)
    host = context.params.get("host") if context is not None else None
    return [host] if isinstance(host, str) else []
