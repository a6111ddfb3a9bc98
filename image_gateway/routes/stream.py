"""The range proxy, for where there is no CDN."""

from __future__ import annotations

from flask import Blueprint, Request, Response, request

from image_gateway.protocol.preconditions import Conditions
from image_gateway.routes.identity import current_caller
from image_gateway.routes.responses import bytes_response
from image_gateway.services.access import Access
from image_gateway.services.streaming import ReadRequest, Streaming, represent_disk


def make_stream_blueprint(access: Access, streaming: Streaming, resource_policy: str) -> Blueprint:
    """Route `range`."""
    blueprint = Blueprint("stream", __name__, url_prefix="/v1/images/<image_id>")

    @blueprint.get("/range")
    def read_range(image_id: str) -> Response:
        record, disk = access.find_readable(image_id, current_caller())
        answer = streaming.read(represent_disk(record, disk), read_request(request))
        return bytes_response(answer, resource_policy)

    return blueprint


def read_request(http: Request) -> ReadRequest:
    """The raw headers that decide a read; werkzeug's parsed forms lose what is malformed."""
    headers = http.headers
    return ReadRequest(
        range_header=headers.get("Range"),
        conditions=Conditions(
            if_match=headers.get("If-Match"),
            if_none_match=headers.get("If-None-Match"),
            if_modified_since=headers.get("If-Modified-Since"),
            if_unmodified_since=headers.get("If-Unmodified-Since"),
            if_range=headers.get("If-Range"),
        ),
        head=http.method == "HEAD",
    )
