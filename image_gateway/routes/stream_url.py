"""Routes that tell where to read a complete image."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from image_gateway.domain.permissions import Action
from image_gateway.protocol.boot_trace import BLOCK_SIZE
from image_gateway.protocol.views.offers import offer_views
from image_gateway.routes.http.authentication import current_visitor
from image_gateway.routes.http.public_url import own_root
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.image_bytes import ReadHandler
from image_gateway.services.boot_traces import BootTraces
from image_gateway.services.reading.access import Access
from image_gateway.services.stream_urls import Delivery, StreamUrl


def make_delivery_blueprint(
    access: Access, handler: ReadHandler, delivery: Delivery, traces: BootTraces
) -> Blueprint:
    """Routes `metadata` and `stream-url`."""
    blueprint = Blueprint("delivery", __name__, url_prefix="/v1/images/<image_id>")

    @blueprint.get("/metadata")
    def metadata(image_id: str) -> Response:
        record, disk, *_ = handler.find(image_id, fresh=True)
        return json_response(
            {
                "size": disk.size,
                "etag": disk.etag,
                "lastModified": timestamp(disk.last_modified),
                "url": delivery.stable_url(record, own_root()),
            }
        )

    @blueprint.get("/stream-url")
    def stream_url(image_id: str) -> Response:
        caller = current_visitor()
        record, disk = access.find_readable(image_id, caller, Action.LEASE)
        stream = delivery.stream_url(record, caller, own_root())
        document: dict[str, Any] = {
            "url": stream.url,
            "auth": _auth(stream),
            "size": disk.size,
            "etag": disk.etag,
        }
        if stream.manifest_url:
            document["chunked"] = chunked_document(stream.manifest_url)
        if stream.expires_at is not None:
            document["expiresAt"] = timestamp(stream.expires_at)
        blocks = traces.prefetch_blocks(record, disk)
        if blocks:
            document["prefetch"] = {"blockSize": BLOCK_SIZE, "blocks": blocks}
        if stream.views_root is not None:
            document["views"] = offer_views(stream.views_root, disk.size)
        response = json_response(document, secret=True)
        return with_cookies(response, stream)

    return blueprint


def chunked_document(manifest_url: str) -> dict[str, str]:
    """Return the fields that tell where the chunks of a published image are."""
    return {"delivery": "chunked", "manifestUrl": manifest_url}


def with_cookies(response: Response, stream: StreamUrl) -> Response:
    """Add the cookies that a URL needs; returns the response."""
    for cookie in stream.cookies:
        response.headers.add("Set-Cookie", cookie.as_header())
    return response


def _auth(stream: StreamUrl) -> dict[str, Any]:
    auth: dict[str, Any] = {"type": stream.auth_type}
    if stream.expires_at is not None:
        auth["expiresAt"] = timestamp(stream.expires_at)
    if stream.lease_id is not None:
        auth["leaseId"] = stream.lease_id
    if stream.cookies:
        auth["cookies"] = [
            {"name": cookie.name, "value": cookie.value, "attributes": list(cookie.attributes)}
            for cookie in stream.cookies
        ]
    return auth
