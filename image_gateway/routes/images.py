"""Routes that list, show, change and delete images."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.http import parse_etags

from image_gateway.domain.audit import AuditEntry
from image_gateway.domain.callers import Caller
from image_gateway.domain.images import ListQuery, Quota, Usage
from image_gateway.routes.http.authentication import current_caller, current_user, current_visitor
from image_gateway.routes.http.cursors import decode_cursor, encode_cursor, page_document
from image_gateway.routes.http.delta_schemas import DeleteImage
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.http.schemas import DescribeImage, ListImages, ListPage, load_json, load_query
from image_gateway.services.images import Images, VisibleImage, stale_revision


def make_images_blueprint(images: Images) -> Blueprint:
    """Routes `GET /v1/images`, `GET`, `PATCH` and `DELETE /v1/images/{id}`, `activity`, `GET /v1/usage`."""
    blueprint = Blueprint("images", __name__, url_prefix="/v1")

    @blueprint.get("/images")
    def list_images() -> Response:
        user = current_user()
        query = load_query(ListImages, request)
        after = decode_cursor(query["cursor"]) if query["cursor"] else None
        wanted = ListQuery(user, query["limit"], query["state"], query["name"], after, query["shared"])
        page = images.list(wanted, admin=current_caller().admin)
        document: dict[str, Any] = {"images": [image_document(image) for image in page.images]}
        if page.next:
            document["nextCursor"] = encode_cursor(page.next)
        return json_response(document)

    @blueprint.get("/images/<image_id>")
    def show_image(image_id: str) -> Response:
        return _answer(images.find(image_id, current_visitor()))

    @blueprint.patch("/images/<image_id>")
    def describe_image(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(DescribeImage, request)
        revision = _required_revision(image_id, caller)
        return _answer(
            images.describe(
                image_id, caller, name=body["name"], visibility=body["visibility"], revision=revision
            )
        )

    @blueprint.delete("/images/<image_id>")
    def delete_image(image_id: str) -> Response:
        caller = current_caller()
        cascade = load_query(DeleteImage, request)["cascade"]
        revision = _required_revision(image_id, caller)
        images.delete(image_id, caller, revision=revision, cascade=cascade)
        return json_response({"ok": True})

    @blueprint.get("/images/<image_id>/activity")
    def list_activity(image_id: str) -> Response:
        caller = current_caller()
        return json_response(
            page_document(
                "entries",
                load_query(ListPage, request),
                lambda after, limit: images.activity(image_id, caller, after=after, limit=limit),
                _entry_document,
                lambda entry: (entry.created_at, entry.entry_id),
            )
        )

    @blueprint.get("/usage")
    def show_usage() -> Response:
        return json_response(_usage_document(*images.usage(current_user())))

    def _required_revision(image_id: str, caller: Caller) -> int | None:
        """Return the revision that If-Match requires, or None; raises PreconditionFailed."""
        header = request.headers.get("If-Match")
        if header is None or header.strip() == "*":
            return None
        record = images.find(image_id, caller).record
        if not parse_etags(header).contains(str(record.revision)):
            raise stale_revision(record)
        return record.revision

    return blueprint


def image_document(image: VisibleImage) -> dict[str, Any]:
    """Return an image's record as a JSON object, with what the caller is to the image."""
    record, disk = image.record, image.record.disk
    return {
        "imageId": record.image_id,
        "name": record.name,
        "kind": record.kind,
        "format": record.format,
        "state": record.state,
        "visibility": record.visibility,
        "access": image.role,
        "sizeBytes": record.plan.size,
        "size": disk.size if disk else None,
        "sha256": record.sha256,
        "etag": disk.etag if disk else None,
        "lastModified": timestamp(disk.last_modified) if disk else None,
        "version": record.version,
        "chunked": record.chunked is not None,
        "created": timestamp(record.created_at),
        "updated": timestamp(record.updated_at),
    }


def _answer(image: VisibleImage) -> Response:
    response = json_response(image_document(image))
    response.headers["ETag"] = f'"{image.record.revision}"'
    return response


def _entry_document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "entryId": entry.entry_id,
        "event": entry.event,
        "user": entry.user,
        "created": timestamp(entry.created_at),
        "details": dict(entry.details),
    }


def _usage_document(usage: Usage, quota: Quota) -> dict[str, Any]:
    return {
        "images": {"used": usage.images, "limit": quota.images},
        "bytes": {"used": usage.bytes, "limit": quota.bytes},
        "bytesPerImage": {"limit": quota.bytes_per_image},
    }
