"""Routes that create, sign, show, abort and complete uploads."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from image_gateway.domain.images import ImageRecord, ImageState, SourceFacts
from image_gateway.protocol.parts import count_parts
from image_gateway.routes.http.authentication import current_caller, current_user
from image_gateway.routes.http.rate_limits import Limits
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.http.schemas import CompleteUpload, CreateImage, UploadUrl, UploadUrls, load_json
from image_gateway.services.uploads import Uploads


def make_uploads_blueprint(uploads: Uploads, limits: Limits) -> Blueprint:
    """Routes `POST /v1/images`, `upload-url`, `upload-urls`, `upload` and `complete`."""
    blueprint = Blueprint("uploads", __name__, url_prefix="/v1/images")

    @blueprint.post("")
    @limits.create
    def create() -> Response:
        owner = current_user()
        body = load_json(CreateImage, request, optional=True)
        record = uploads.begin(owner, body["new"])
        return json_response({"imageId": record.image_id, **_plan_document(record)}, secret=True)

    @blueprint.post("/<image_id>/upload-url")
    @limits.part_urls
    def upload_url(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(UploadUrl, request)
        number = body["part_number"]
        signed = uploads.sign_parts(image_id, caller, body["upload_id"], [number])
        return json_response(
            {"url": signed.urls[number], "expiresAt": timestamp(signed.expires_at)}, secret=True
        )

    @blueprint.post("/<image_id>/upload-urls")
    @limits.part_urls
    def upload_urls(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(UploadUrls, request)
        signed = uploads.sign_parts(image_id, caller, body["upload_id"], body["part_numbers"])
        return json_response(
            {
                "urls": [{"partNumber": number, "url": url} for number, url in signed.urls.items()],
                "expiresAt": timestamp(signed.expires_at),
                "serverTime": timestamp(signed.now),
            },
            secret=True,
        )

    @blueprint.get("/<image_id>/upload")
    def show_upload(image_id: str) -> Response:
        status = uploads.status(image_id, current_caller())
        parts = [{"partNumber": part.number, "size": part.size, "etag": part.etag} for part in status.parts]
        return json_response(
            {
                "imageId": status.record.image_id,
                **_plan_document(status.record),
                "serverTime": timestamp(status.now),
                "parts": parts,
            },
            secret=True,
        )

    @blueprint.delete("/<image_id>/upload")
    def abort_upload(image_id: str) -> Response:
        uploads.abort(image_id, current_caller())
        return json_response({"ok": True})

    @blueprint.post("/<image_id>/complete")
    @limits.complete
    def complete(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(CompleteUpload, request)
        facts = uploads.complete(image_id, caller, body["upload_id"], body["parts"], body["sha256"])
        modified = timestamp(facts.last_modified)
        document = {"ok": True, "size": facts.size, "etag": facts.etag, "lastModified": modified}
        if isinstance(facts, SourceFacts):
            document["state"] = ImageState.PROCESSING
        return json_response(document)

    return blueprint


def _plan_document(record: ImageRecord) -> dict[str, Any]:
    plan = record.plan
    document: dict[str, Any] = {
        "uploadId": plan.upload_id,
        "partSize": plan.part_size,
        "expiresAt": timestamp(plan.expires_at),
    }
    if plan.size is not None:
        document |= {"sizeBytes": plan.size, "partCount": count_parts(plan.size, plan.part_size)}
    if plan.sha256 is not None:
        document["sha256"] = plan.sha256
    return document
