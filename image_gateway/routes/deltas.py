"""Routes that make, show, change and delete deltas, and open their sessions."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from image_gateway.domain.deltas import Commit, Delta, Snapshot
from image_gateway.errors import BadRequest
from image_gateway.observability.request_log import note
from image_gateway.protocol.deltas.map_page import ChangedRun
from image_gateway.protocol.views.offers import offer_views
from image_gateway.routes.http.authentication import current_caller, current_user
from image_gateway.routes.http.cursors import Place, page_document
from image_gateway.routes.http.delta_headers import optional_generation
from image_gateway.routes.http.delta_schemas import (
    FlattenDelta,
    ListDeltas,
    MakeDelta,
    MakeSnapshot,
    OpenSession,
    RenameDelta,
    ResetDelta,
    ShowMap,
)
from image_gateway.routes.http.public_url import own_root
from image_gateway.routes.http.rate_limits import Limits
from image_gateway.routes.http.responses import json_response, timestamp
from image_gateway.routes.http.schemas import ListPage, load_json, load_query
from image_gateway.routes.jobs import accepted_response
from image_gateway.services.deltas.delta_services import DeltaServices
from image_gateway.services.deltas.deltas import WRITING, Session
from image_gateway.services.deltas.flattening import DeltaFlattening
from image_gateway.services.leases import LeaseRequest
from image_gateway.services.stream_urls import Delivery


def make_deltas_blueprint(
    services: DeltaServices, flattening: DeltaFlattening, delivery: Delivery, limits: Limits
) -> Blueprint:
    """Routes of `/v1/deltas` but the disk and its views, and what sessions write."""
    blueprint = Blueprint("deltas", __name__, url_prefix="/v1/deltas")
    deltas, history = services.deltas, services.history

    @blueprint.post("")
    @limits.create
    def create() -> Response:
        caller = current_caller()
        body = load_json(MakeDelta, request)
        if body["from_delta"] is not None:
            delta = deltas.fork(body["from_delta"], caller, generation=body["generation"], name=body["name"])
        else:
            delta = deltas.create(body["image_id"], caller, block_size=body["block_size"], name=body["name"])
        note(delta=delta.delta_id)
        response = _answer(delta, status=201)
        response.headers["Location"] = f"{own_root()}/v1/deltas/{delta.delta_id}"
        return response

    @blueprint.get("")
    def list_deltas() -> Response:
        user = current_user()
        query = load_query(ListDeltas, request)
        image_id = query["image_id"].lower() if query["image_id"] is not None else None
        return json_response(
            page_document(
                "deltas",
                query,
                lambda after, limit: deltas.list(user, image_id=image_id, after=after, limit=limit),
                delta_document,
                lambda delta: (delta.created_at, delta.delta_id),
            )
        )

    @blueprint.get("/<delta_id>")
    def show(delta_id: str) -> Response:
        return _answer(deltas.find(delta_id, current_caller()))

    @blueprint.patch("/<delta_id>")
    def rename(delta_id: str) -> Response:
        caller = current_caller()
        body = load_json(RenameDelta, request)
        return _answer(deltas.rename(delta_id, caller, body["name"], generation=optional_generation()))

    @blueprint.delete("/<delta_id>")
    def delete(delta_id: str) -> Response:
        deltas.delete(delta_id, current_caller(), generation=optional_generation())
        return json_response({"ok": True})

    @blueprint.post("/<delta_id>/sessions")
    @limits.leases
    def open_session(delta_id: str) -> Response:
        caller = current_caller()
        body = load_json(OpenSession, request, optional=True)
        session = deltas.open_session(delta_id, caller, LeaseRequest(WRITING, body["ttl"]))
        return _session_response(session, delivery)

    @blueprint.get("/<delta_id>/map")
    def show_map(delta_id: str) -> Response:
        caller = current_caller()
        query = load_query(ShowMap, request)
        shown = deltas.map(delta_id, caller, since=query["since"], first=query["first"], limit=query["limit"])
        document: dict[str, Any] = {
            "deltaId": shown.delta.delta_id,
            "generation": shown.generation,
            "blockSize": shown.delta.block_size,
            "since": shown.since,
            "runs": [_run_of(run) for run in shown.page.runs],
        }
        if shown.page.next is not None:
            document["next"] = shown.page.next
        response = json_response(document)
        response.headers["ETag"] = f'"{shown.generation}"'
        return response

    @blueprint.get("/<delta_id>/commits")
    def list_commits(delta_id: str) -> Response:
        caller = current_caller()
        return json_response(
            page_document(
                "commits",
                load_query(ListPage, request),
                lambda after, limit: deltas.log(delta_id, caller, before=_generation_of(after), limit=limit),
                _commit_document,
                lambda commit: (commit.created_at, str(commit.generation)),
            )
        )

    @blueprint.post("/<delta_id>/snapshots")
    def make_snapshot(delta_id: str) -> Response:
        caller = current_caller()
        body = load_json(MakeSnapshot, request)
        snapshot = history.snapshot(delta_id, caller, body["name"], body["generation"])
        return json_response(_snapshot_document(snapshot), status=201)

    @blueprint.get("/<delta_id>/snapshots")
    def list_snapshots(delta_id: str) -> Response:
        found = history.snapshots(delta_id, current_caller())
        return json_response({"snapshots": [_snapshot_document(snapshot) for snapshot in found]})

    @blueprint.delete("/<delta_id>/snapshots/<snapshot_id>")
    def delete_snapshot(delta_id: str, snapshot_id: str) -> Response:
        history.delete_snapshot(delta_id, current_caller(), snapshot_id)
        return json_response({"ok": True})

    @blueprint.post("/<delta_id>/reset")
    def reset(delta_id: str) -> Response:
        caller = current_caller()
        body = load_json(ResetDelta, request)
        return _answer(history.reset(delta_id, caller, body["generation"]))

    @blueprint.post("/<delta_id>/flatten")
    @limits.complete
    def flatten(delta_id: str) -> Response:
        caller = current_caller()
        body = load_json(FlattenDelta, request)
        return accepted_response(
            *flattening.request(delta_id, caller, name=body["name"], generation=body["generation"])
        )

    return blueprint


def delta_document(delta: Delta) -> dict[str, Any]:
    """Return a delta's record as a JSON object."""
    document: dict[str, Any] = {
        "deltaId": delta.delta_id,
        "imageId": delta.image_id,
        "version": delta.version,
        "name": delta.name,
        "sizeBytes": delta.disk_size,
        "blockSize": delta.block_size,
        "generation": delta.generation,
        "epoch": delta.epoch,
        "state": delta.state,
        "liveBytes": delta.live_bytes,
        "storedBytes": delta.stored_bytes,
        "created": timestamp(delta.created_at),
        "updated": timestamp(delta.updated_at),
    }
    if delta.parent is not None:
        document["parent"] = {"deltaId": delta.parent.delta_id, "generation": delta.parent.generation}
    return document


def _answer(delta: Delta, status: int = 200) -> Response:
    note(image=delta.image_id)
    response = json_response(delta_document(delta), status=status)
    response.headers["ETag"] = delta.etag
    return response


def _session_response(session: Session, delivery: Delivery) -> Response:
    delta, lease = session.delta, session.issued.lease
    urls = delivery.lease_urls(session.issued, own_root())
    note(image=lease.image_id, lease=lease.lease_id)
    document: dict[str, Any] = {
        "deltaId": delta.delta_id,
        "imageId": delta.image_id,
        "generation": delta.generation,
        "epoch": delta.epoch,
        "blockSize": delta.block_size,
        "sizeBytes": delta.disk_size,
        "leaseId": lease.lease_id,
        "token": session.issued.token,
        "url": urls.url,
        "scopes": sorted(lease.scopes),
        "expiresAt": timestamp(lease.expires_at),
        "sessionEndsAt": timestamp(lease.session_ends_at),
    }
    if urls.views_root is not None:
        document["views"] = offer_views(urls.views_root, delta.disk_size)
    return json_response(document, status=201, secret=True)


def _run_of(run: ChangedRun) -> list[int | str]:
    return [run.first, run.count, "zero" if run.is_zero else "data"]


def _snapshot_document(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "snapshotId": snapshot.snapshot_id,
        "name": snapshot.name,
        "generation": snapshot.generation,
        "created": timestamp(snapshot.created_at),
    }


def _commit_document(commit: Commit) -> dict[str, Any]:
    return {
        "generation": commit.generation,
        "epoch": commit.epoch,
        "blocks": commit.blocks,
        "bytes": commit.size,
        "created": timestamp(commit.created_at),
    }


def _generation_of(place: Place | None) -> int | None:
    """Return the generation in a cursor of commits."""
    if place is None:
        return None
    if not place[1].isdecimal() or not place[1].isascii() or len(place[1]) > 18:
        raise BadRequest("cursor is invalid: use nextCursor of the previous page")
    return int(place[1])
