"""Routes of shares and share links."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from image_gateway.domain.shares import Share, ShareLink
from image_gateway.routes.http.authentication import current_caller
from image_gateway.routes.http.cursors import page_document
from image_gateway.routes.http.rate_limits import Limits
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.http.schemas import (
    ListPage,
    MakeShare,
    MakeShareLink,
    RedeemShareLink,
    RemoveShare,
    load_json,
    load_query,
)
from image_gateway.routes.leases import lease_response
from image_gateway.services.sharing import Sharing
from image_gateway.services.stream_urls import Delivery


def make_shares_blueprint(sharing: Sharing) -> Blueprint:
    """Routes `shares` of an image: POST, GET, and DELETE with `?user=`."""
    blueprint = Blueprint("shares", __name__, url_prefix="/v1/images/<image_id>/shares")

    @blueprint.post("")
    def make_share(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(MakeShare, request)
        share = sharing.share(image_id, caller, body["user"], body["permission"])
        return json_response(_share_document(share))

    @blueprint.get("")
    def list_shares(image_id: str) -> Response:
        caller = current_caller()
        query = load_query(ListPage, request)
        limit = query["limit"]
        found = sharing.shares(image_id, caller, after=query["cursor"] or "", limit=limit + 1)
        document: dict[str, Any] = {"shares": [_share_document(share) for share in found[:limit]]}
        if len(found) > limit:
            document["nextCursor"] = found[limit - 1].user
        return json_response(document)

    @blueprint.delete("")
    def unshare(image_id: str) -> Response:
        caller = current_caller()
        sharing.unshare(image_id, caller, load_query(RemoveShare, request)["user"])
        return json_response({"ok": True})

    return blueprint


def make_share_links_blueprint(sharing: Sharing, delivery: Delivery, limits: Limits) -> Blueprint:
    """Routes `share-links` of an image, and `POST /v1/share-links/redeem`."""
    blueprint = Blueprint("share_links", __name__, url_prefix="/v1")

    @blueprint.post("/images/<image_id>/share-links")
    def make_link(image_id: str) -> Response:
        caller = current_caller()
        body = load_json(MakeShareLink, request, optional=True)
        new = sharing.make_link(
            image_id, caller, ttl=body["ttl"], max_uses=body["max_uses"], label=body["label"]
        )
        return json_response({**_link_document(new.link), "token": new.token}, secret=True)

    @blueprint.get("/images/<image_id>/share-links")
    def list_links(image_id: str) -> Response:
        caller = current_caller()
        return json_response(
            page_document(
                "shareLinks",
                load_query(ListPage, request),
                lambda after, limit: sharing.links(image_id, caller, after=after, limit=limit),
                _link_document,
                lambda link: (link.created_at, link.link_id),
            )
        )

    @blueprint.delete("/images/<image_id>/share-links/<link_id>")
    def revoke_link(image_id: str, link_id: str) -> Response:
        sharing.revoke_link(image_id, current_caller(), link_id)
        return json_response({"ok": True})

    @blueprint.post("/share-links/redeem")
    @limits.redeem
    def redeem() -> Response:
        issued = sharing.redeem(load_json(RedeemShareLink, request)["token"])
        record, disk = issued.record, issued.record.disk
        return lease_response(issued, delivery, name=record.name, size=disk.size if disk else None)

    return blueprint


def _share_document(share: Share) -> dict[str, Any]:
    return {
        "user": share.user,
        "permission": share.permission.value,
        "created": timestamp(share.created_at),
    }


def _link_document(link: ShareLink) -> dict[str, Any]:
    return {
        "linkId": link.link_id,
        "created": timestamp(link.created_at),
        "expiresAt": timestamp(link.expires_at) if link.expires_at else None,
        "maxUses": link.max_uses,
        "uses": link.uses,
        "label": link.label,
    }
