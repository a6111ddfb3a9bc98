"""The app as a WSGI server loads it: settings from the environment, mistakes printed, not raised."""

from __future__ import annotations

import logging.config

from flask import Flask

from image_gateway.app import create_app
from image_gateway.serving.environment import exit_with, read_settings_or_exit
from image_gateway.serving.logs import logging_config
from image_gateway.settings import SettingsError


def make_app() -> Flask:
    """Create the app from the environment, or print what is wrong with it and exit."""
    settings = read_settings_or_exit()
    logging.config.dictConfig(logging_config(settings.log_level))
    try:
        return create_app(settings)
    except SettingsError as error:
        exit_with(error)
