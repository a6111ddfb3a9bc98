"""Chunked delivery: the manifest and chunks, from the CDN by redirect or through the gateway."""

from __future__ import annotations

from flask import Blueprint, Response, request

from image_gateway.catalog.records import ImageRecord
from image_gateway.routes.identity import current_caller
from image_gateway.routes.responses import bytes_response, redirect_to
from image_gateway.routes.stream import read_request
from image_gateway.services.access import Access
from image_gateway.services.chunks import find_chunk, find_manifest
from image_gateway.services.delivery import Delivery
from image_gateway.services.streaming import Representation, Streaming


def make_chunked_blueprint(
    access: Access, streaming: Streaming, delivery: Delivery, resource_policy: str
) -> Blueprint:
    """Routes `chunked/manifest` and `chunked/chunks/{index}`."""
    blueprint = Blueprint("chunked", __name__, url_prefix="/v1/images/<image_id>/chunked")

    @blueprint.get("/manifest")
    def manifest(image_id: str) -> Response:
        record, _ = access.find_readable(image_id, current_caller())
        return deliver(record, find_manifest(record))

    @blueprint.get("/chunks/<chunk_index>")
    def chunk(image_id: str, chunk_index: str) -> Response:
        record, disk = access.find_readable(image_id, current_caller())
        return deliver(record, find_chunk(record, disk, chunk_index))

    def deliver(record: ImageRecord, target: Representation) -> Response:
        url = delivery.redirect_url(record, target.key)
        if url is not None:
            return redirect_to(url)
        return bytes_response(streaming.read(target, read_request(request)), resource_policy)

    return blueprint
