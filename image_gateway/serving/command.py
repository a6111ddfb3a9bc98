"""The gunicorn command line."""

from __future__ import annotations

import sys


def gunicorn_command() -> list[str]:
    """Return the command that runs the gateway with the package's gunicorn configuration."""
    config = "python:image_gateway.serving.gunicorn_config"
    return [sys.executable, "-m", "gunicorn", "-c", config, "image_gateway.serving.wsgi:make_app()"]
