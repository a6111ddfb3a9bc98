"""Bytes by a lease in the path, for readers that can send neither a header nor a cookie.

Names relative to each other stay below the token, and the token holds no dot: a manifest's chunks, and names
that a client derives, carry the same authority. The bytes come through the gateway also where there is a
CDN, so that what is taken back ends at once; only the leases that stream-url makes where a CDN wants signed
URLs redirect chunks to it, since their holders get such URLs anyway.
"""

from __future__ import annotations

from flask import Blueprint, Response

from image_gateway.domain.leases import ChunksFrom
from image_gateway.routes.http.reading import Reading
from image_gateway.routes.http.responses import redirect_to
from image_gateway.services.reading.chunks import find_chunk, find_manifest
from image_gateway.services.reading.reader import represent_disk
from image_gateway.services.stream_urls import Delivery


def make_leased_blueprint(reading: Reading, delivery: Delivery) -> Blueprint:
    """Routes `/v1/l/{token}/disk.img`, `manifest.json` and `chunks/{index}`."""
    blueprint = Blueprint("leased", __name__, url_prefix="/v1/l/<token>")

    @blueprint.get("/disk.img")
    def disk(token: str) -> Response:
        found = reading.find_leased(token)
        return reading.answer(found, represent_disk(found.record, found.disk))

    @blueprint.get("/manifest.json")
    def manifest(token: str) -> Response:
        found = reading.find_leased(token, chunked=True)
        return reading.answer(found, find_manifest(found.record))

    @blueprint.get("/chunks/<chunk_index>")
    def chunk(token: str, chunk_index: str) -> Response:
        found = reading.find_leased(token, chunked=True)
        target = find_chunk(found.record, found.disk, chunk_index)
        from_cdn = found.lease is not None and found.lease.chunks_from is ChunksFrom.CDN
        url = delivery.redirect_url(found.record, target.key) if from_cdn else None
        return reading.answer(found, target) if url is None else redirect_to(url)

    return blueprint
