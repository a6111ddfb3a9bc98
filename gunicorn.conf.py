"""Read by gunicorn when it is started in this folder; everything is in the package."""

from image_gateway.serving.gunicorn_config import *  # noqa: F403
