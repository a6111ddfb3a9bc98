"""The range proxy, for where there is no CDN."""

from __future__ import annotations

from flask import Blueprint, Response

from image_gateway.routes.http.reading import Reading
from image_gateway.services.reading.reader import represent_disk


def make_stream_blueprint(reading: Reading) -> Blueprint:
    """Route `range`."""
    blueprint = Blueprint("stream", __name__, url_prefix="/v1/images/<image_id>")

    @blueprint.get("/range")
    def read_range(image_id: str) -> Response:
        found = reading.find(image_id)
        return reading.answer(found, represent_disk(found.record, found.disk))

    return blueprint
