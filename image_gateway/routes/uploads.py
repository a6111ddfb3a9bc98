"""Begin an upload, sign its parts, complete it."""

from __future__ import annotations

from flask import Blueprint, Response, request

from image_gateway.routes.identity import current_caller
from image_gateway.routes.responses import json_response, timestamp
from image_gateway.routes.schemas import CompleteUpload, CreateImage, UploadUrl, load_json
from image_gateway.services.uploads import Uploads


def make_uploads_blueprint(uploads: Uploads) -> Blueprint:
    """Routes `POST /v1/images`, `upload-url` and `complete`."""
    blueprint = Blueprint("uploads", __name__, url_prefix="/v1/images")

    @blueprint.post("")
    def create() -> Response:
        caller = current_caller()
        load_json(CreateImage, request, optional=True)
        record = uploads.begin(caller)
        return json_response(
            {"imageId": record.image_id, "uploadId": record.upload_id, "partSize": record.part_size},
            secret=True,
        )

    @blueprint.post("/<image_id>/upload-url")
    def upload_url(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(UploadUrl, request)
        part = uploads.sign_part(image_id, caller, body["upload_id"], body["part_number"])
        return json_response({"url": part.url, "expiresAt": timestamp(part.expires_at)}, secret=True)

    @blueprint.post("/<image_id>/complete")
    def complete(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(CompleteUpload, request)
        disk = uploads.complete(image_id, caller, body["upload_id"], body["parts"])
        return json_response(
            {"ok": True, "size": disk.size, "etag": disk.etag, "lastModified": timestamp(disk.last_modified)}
        )

    return blueprint
