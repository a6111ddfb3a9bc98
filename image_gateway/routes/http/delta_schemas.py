"""marshmallow schemas of the requests about deltas."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from image_gateway.protocol.deltas.map_page import MAX_RUNS_PER_PAGE
from image_gateway.routes.http.request_fields import (
    JsonInteger,
    QueryBoolean,
    QueryInteger,
    RequestSchema,
    max_length,
    printable,
    seconds,
)
from image_gateway.routes.http.schemas import ListPage

_GENERATION = validate.Range(0, 2**63 - 1, error="must be 0 to 2**63 - 1")


def _id(name: str) -> fields.String:
    return fields.String(
        data_key=name, load_default=None, allow_none=True, validate=[max_length(64), printable]
    )


def _name() -> fields.String:
    return fields.String(required=True, validate=[max_length(255), printable])


def _generation(*, required: bool = False) -> fields.Integer:
    if required:
        return JsonInteger(required=True, validate=_GENERATION)
    return JsonInteger(load_default=None, allow_none=True, validate=_GENERATION)


class MakeDelta(RequestSchema):
    """The body of a create: over an image, or as a fork of a delta."""

    image_id = _id("imageId")
    block_size = JsonInteger(data_key="blockSize", load_default=None, allow_none=True)
    from_delta = _id("fromDelta")
    generation = _generation()
    name = fields.String(load_default=None, allow_none=True, validate=[max_length(255), printable])

    @validates_schema
    def check_source(self, data: dict[str, Any], **_: Any) -> None:
        if (data["image_id"] is None) == (data["from_delta"] is None):
            raise ValidationError("send either imageId or fromDelta, not both")
        if data["from_delta"] is None and data["generation"] is not None:
            raise ValidationError("generation is for fromDelta only")
        if data["image_id"] is None and data["block_size"] is not None:
            raise ValidationError("blockSize is for imageId only: a fork has that of its parent")


class ListDeltas(ListPage):
    image_id = _id("imageId")


class RenameDelta(RequestSchema):
    name = _name()


class OpenSession(RequestSchema):
    """The optional body of a request for a session."""

    ttl = seconds("ttlSeconds")


class DeleteImage(RequestSchema):
    """The query of a delete of an image."""

    cascade = QueryBoolean(load_default=False)


class MakeSnapshot(RequestSchema):
    name = _name()
    generation = _generation()


class ResetDelta(RequestSchema):
    generation = _generation(required=True)


class FlattenDelta(RequestSchema):
    name = _name()
    generation = _generation()


class ReadDelta(RequestSchema):
    """The query of a read of a delta's disk."""

    generation = QueryInteger(load_default=None, validate=_GENERATION)


class ShowMap(RequestSchema):
    """The query of a map."""

    since = QueryInteger(load_default=0)
    first = QueryInteger(data_key="from", load_default=0)
    limit = QueryInteger(
        load_default=MAX_RUNS_PER_PAGE,
        validate=validate.Range(1, MAX_RUNS_PER_PAGE, error=f"must be 1 to {MAX_RUNS_PER_PAGE}"),
    )
