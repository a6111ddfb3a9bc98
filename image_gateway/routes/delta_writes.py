"""Routes by which the session of a delta writes."""

from __future__ import annotations

import hashlib
import hmac

from flask import Blueprint, Response

from image_gateway.domain.deltas import Commit
from image_gateway.errors import BadRequest, NotFound
from image_gateway.protocol.deltas.segment import MAX_BLOCK_SIZE, MAX_SEGMENT_BYTES
from image_gateway.routes.http.authentication import current_caller
from image_gateway.routes.http.delta_headers import (
    content_sha256,
    idempotency_key,
    read_octets,
    required_generation,
)
from image_gateway.routes.http.responses import json_response
from image_gateway.services.deltas.commits import CommitRequest, Commits

_BLOCK_DIGITS = 18


def make_delta_writes_blueprint(commits: Commits) -> Blueprint:
    """Routes `POST /v1/deltas/{id}/commits` and `PUT /v1/deltas/{id}/blocks/{n}`.

    They have no rate limit: opening a session has one, a delta has one writer at a time, and each of its
    commits waits for the store.
    """
    blueprint = Blueprint("delta_writes", __name__, url_prefix="/v1/deltas")

    @blueprint.post("/<delta_id>/commits")
    def commit(delta_id: str) -> Response:
        caller = current_caller()
        generation, key, sha256 = required_generation(), idempotency_key(), content_sha256()
        if key is None:
            raise BadRequest("Idempotency-Key is missing: send a new one with each commit")
        if sha256 is None:
            raise BadRequest("Content-Digest is missing or has no sha-256: send sha-256=:BASE64: of the body")
        body = read_octets(MAX_SEGMENT_BYTES)
        return _answer(
            delta_id, commits.commit(delta_id, caller, CommitRequest(generation, key, body, sha256))
        )

    @blueprint.put("/<delta_id>/blocks/<block>")
    def write_block(delta_id: str, block: str) -> Response:
        caller = current_caller()
        generation, key, sha256 = required_generation(), idempotency_key(), content_sha256()
        if not block.isdecimal() or not block.isascii() or len(block) > _BLOCK_DIGITS:
            raise NotFound("there is no such block: blocks are numbered from 0")
        data = read_octets(MAX_BLOCK_SIZE)
        if sha256 is not None and not hmac.compare_digest(hashlib.sha256(data).hexdigest(), sha256):
            raise BadRequest("Content-Digest: the body has another SHA-256: send it again")
        return _answer(delta_id, commits.write_block(delta_id, caller, int(block), data, generation, key))

    return blueprint


def _answer(delta_id: str, commit: Commit) -> Response:
    document = {"deltaId": delta_id.lower(), "generation": commit.generation, "epoch": commit.epoch}
    response = json_response(document)
    response.headers["ETag"] = f'"{commit.generation}"'
    return response
