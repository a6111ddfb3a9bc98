"""Chunked delivery: the manifest and chunks, from the CDN by redirect or through the gateway."""

from __future__ import annotations

from flask import Blueprint, Response

from image_gateway.routes.http.reading import Found, Reading
from image_gateway.routes.http.responses import redirect_to
from image_gateway.services.reading.chunks import find_chunk, find_manifest
from image_gateway.services.reading.reader import Representation
from image_gateway.services.stream_urls import Delivery


def make_chunked_blueprint(reading: Reading, delivery: Delivery) -> Blueprint:
    """Routes `chunked/manifest` and `chunked/chunks/{index}`."""
    blueprint = Blueprint("chunked", __name__, url_prefix="/v1/images/<image_id>/chunked")

    @blueprint.get("/manifest")
    def manifest(image_id: str) -> Response:
        found = reading.find(image_id, chunked=True)
        return deliver(found, find_manifest(found.record))

    @blueprint.get("/chunks/<chunk_index>")
    def chunk(image_id: str, chunk_index: str) -> Response:
        found = reading.find(image_id, chunked=True)
        return deliver(found, find_chunk(found.record, found.disk, chunk_index))

    def deliver(found: Found, target: Representation) -> Response:
        # What the CDN is told to let in cannot be taken back, as a lease can.
        url = None if found.lease is not None else delivery.redirect_url(found.record, target.key)
        return reading.answer(found, target) if url is None else redirect_to(url)

    return blueprint
