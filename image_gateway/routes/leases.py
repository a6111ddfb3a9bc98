"""Routes that create, renew and revoke leases."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from image_gateway.observability.request_log import note
from image_gateway.protocol.views.offers import offer_views
from image_gateway.routes.http.authentication import current_caller, lease_holder
from image_gateway.routes.http.public_url import own_root
from image_gateway.routes.http.rate_limits import Limits
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.http.schemas import MakeLease, load_json
from image_gateway.routes.stream_url import chunked_document, with_cookies
from image_gateway.services.deltas.deltas import Deltas
from image_gateway.services.leases import READ_ONLY, IssuedLease, LeaseRequest, Leases
from image_gateway.services.stream_urls import Delivery


def make_leases_blueprint(leases: Leases, deltas: Deltas, delivery: Delivery, limits: Limits) -> Blueprint:
    """Routes `POST /v1/leases`, `renew` and `DELETE /v1/leases/{id}`, `GET /v1/images/{id}/lease`."""
    blueprint = Blueprint("leases", __name__, url_prefix="/v1")

    @blueprint.post("/leases")
    @limits.leases
    def make() -> Response:
        caller = current_caller()
        body = load_json(MakeLease, request)
        if body["delta_id"] is not None:
            wanted = LeaseRequest(body["scopes"], body["ttl"], body["when_lapsed"])
            issued = deltas.lease(body["delta_id"], caller, body["generation"], wanted)
            return lease_response(issued, delivery)
        issued = leases.make(
            body["image_id"],
            caller,
            body["scopes"],
            body["ttl"],
            body["when_lapsed"],
            record_reads=body["record"],
        )
        return lease_response(issued, delivery)

    @blueprint.get("/images/<image_id>/lease")
    @limits.leases
    def poll(image_id: str) -> Response:
        return lease_response(leases.make(image_id, current_caller(), READ_ONLY, ttl=None), delivery)

    @blueprint.post("/leases/<lease_id>/renew")
    @limits.leases
    def renew(lease_id: str) -> Response:
        return lease_response(leases.renew(lease_id, lease_holder()), delivery)

    @blueprint.delete("/leases/<lease_id>")
    def revoke(lease_id: str) -> Response:
        leases.revoke(lease_id, lease_holder())
        return json_response({"ok": True})

    return blueprint


def lease_response(issued: IssuedLease, delivery: Delivery, **more: Any) -> Response:
    """Return the response for a lease, with its URLs."""
    urls, lease = delivery.lease_urls(issued, own_root()), issued.lease
    note(image=lease.image_id, lease=lease.lease_id)
    document: dict[str, Any] = {
        "leaseId": lease.lease_id,
        "imageId": lease.image_id,
        "scopes": sorted(lease.scopes),
        "url": urls.url,
        "token": issued.token,
        "expiresAt": timestamp(lease.expires_at),
        "sessionEndsAt": timestamp(lease.session_ends_at),
        **more,
    }
    if lease.delta is not None:
        note(delta=lease.delta.delta_id)
        document["deltaId"] = lease.delta.delta_id
        if lease.delta.generation is not None:
            document["generation"] = lease.delta.generation
    if lease.record:
        document["record"] = True
    if urls.manifest_url is not None:
        document |= {"manifestUrl": urls.manifest_url, "chunked": chunked_document(urls.manifest_url)}
    if urls.views_root is not None and issued.record.disk is not None:
        document["views"] = offer_views(urls.views_root, issued.record.disk.size)
    return with_cookies(json_response(document, secret=True), urls)
