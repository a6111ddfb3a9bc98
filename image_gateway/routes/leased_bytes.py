"""Routes that read what lies below a lease in the path, and the chunks of an image."""

from __future__ import annotations

from flask import Blueprint, Response

from image_gateway.domain.leases import ChunksFrom
from image_gateway.routes.http.responses import redirect_to
from image_gateway.routes.image_bytes import ReadableDisk, ReadHandler
from image_gateway.services.reading.chunks import find_chunk, find_manifest
from image_gateway.services.reading.representations import Representation
from image_gateway.services.stream_urls import Delivery


def make_chunked_blueprint(handler: ReadHandler, delivery: Delivery) -> Blueprint:
    """Routes `chunked/manifest` and `chunked/chunks/{index}`."""
    blueprint = Blueprint("chunked", __name__, url_prefix="/v1/images/<image_id>/chunked")

    @blueprint.get("/manifest")
    def manifest(image_id: str) -> Response:
        found = handler.find(image_id, chunked=True)
        return deliver(found, find_manifest(found.record))

    @blueprint.get("/chunks/<chunk_index>")
    def chunk(image_id: str, chunk_index: str) -> Response:
        found = handler.find(image_id, chunked=True)
        return deliver(found, find_chunk(found.record, found.disk, chunk_index))

    def deliver(found: ReadableDisk, target: Representation) -> Response:
        # A CDN's signature cannot be revoked, a lease can.
        url = None if found.lease is not None else delivery.redirect_url(found.record, target.key)
        return handler.answer(found, target) if url is None else redirect_to(url)

    return blueprint


def make_lease_paths_blueprint(handler: ReadHandler, delivery: Delivery) -> Blueprint:
    """Routes `/v1/l/{token}/disk.img`, `manifest.json` and `chunks/{index}`.

    They serve readers that send neither headers nor cookies. The token holds no dot, and all names are below
    it, so that URLs relative to one of them carry the same lease. The gateway sends the bytes also where
    there is a CDN, so that a revocation takes effect at once; only leases that stream-url makes where the CDN
    takes signed URLs redirect chunks to it.
    """
    blueprint = Blueprint("leased", __name__, url_prefix="/v1/l/<token>")

    @blueprint.get("/disk.img")
    def disk(token: str) -> Response:
        found = handler.find_leased(token)
        return handler.answer(found, found.target)

    @blueprint.get("/manifest.json")
    def manifest(token: str) -> Response:
        found = handler.find_leased(token, chunked=True)
        return handler.answer(found, find_manifest(found.record))

    @blueprint.get("/chunks/<chunk_index>")
    def chunk(token: str, chunk_index: str) -> Response:
        found = handler.find_leased(token, chunked=True)
        target = find_chunk(found.record, found.disk, chunk_index)
        from_cdn = found.lease is not None and found.lease.chunks_from is ChunksFrom.CDN
        url = delivery.redirect_url(found.record, target.key) if from_cdn else None
        return handler.answer(found, target) if url is None else redirect_to(url)

    return blueprint
