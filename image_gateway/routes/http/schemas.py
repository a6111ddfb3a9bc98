"""marshmallow schemas of requests; unknown fields are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from flask import Request
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema
from werkzeug.exceptions import BadRequest as MalformedJson

from image_gateway.domain.images import ImageFormat, ImageState, Kind, Visibility
from image_gateway.domain.leases import Scope, WhenLapsed
from image_gateway.domain.shares import Permission
from image_gateway.errors import BadRequest, TooLarge, UnsupportedMediaType
from image_gateway.protocol.parts import MAX_PARTS, ClaimedPart
from image_gateway.routes.http.request_fields import (
    JsonInteger,
    QueryBoolean,
    QueryInteger,
    RequestSchema,
    ShortList,
    choice,
    max_length,
    not_blank,
    printable,
    seconds,
)
from image_gateway.routes.http.request_limits import require_whole
from image_gateway.services.new_images import NewImage

MAX_UPLOAD_ID = 1024
MAX_ETAG = 4096
MAX_URLS = 1000
_IS_SHA256 = validate.Regexp(r"\A[0-9a-fA-F]{64}\Z", error="must be 64 hex digits")
_PART_RANGE = validate.Range(1, MAX_PARTS, error=f"must be 1 to {MAX_PARTS}")


def _upload_id() -> fields.String:
    rule = validate.Length(1, MAX_UPLOAD_ID, error=f"must have 1 to {MAX_UPLOAD_ID} characters")
    return fields.String(data_key="uploadId", required=True, validate=[rule, printable])


def _part_number() -> fields.Integer:
    return JsonInteger(data_key="partNumber", required=True, validate=_PART_RANGE)


def _true_or_false(value: Any) -> None:
    if type(value) is not bool:
        raise ValidationError("must be true or false")


class CreateImage(RequestSchema):
    """The optional body of a create, into a NewImage."""

    name = fields.String(load_default=None, allow_none=True, validate=[max_length(255), printable])
    filename = fields.String(load_default=None, allow_none=True, validate=[max_length(4096), printable])
    kind = choice(Kind)
    format = choice(ImageFormat)
    size = JsonInteger(
        data_key="sizeBytes",
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, error="must not be negative"),
    )
    sha256 = fields.String(load_default=None, allow_none=True, validate=_IS_SHA256)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, NewImage]:
        filename = (data["filename"] or "").replace("\\", "/").rstrip("/").rpartition("/")[2][:255]
        name = data["name"] or filename or NewImage.name
        guessed = Kind.ISO if (filename or name).lower().endswith(".iso") else Kind.DISK
        sha256 = data["sha256"].lower() if data["sha256"] else None
        new = NewImage(name, data["kind"] or guessed, data["size"], sha256, data["format"] or ImageFormat.RAW)
        return {"new": new}


class ImportImage(RequestSchema):
    """The body of an import."""

    url = fields.String(required=True, validate=[max_length(4096), printable])
    name = fields.String(load_default=None, allow_none=True, validate=[max_length(255), printable])
    format = choice(ImageFormat)
    sha256 = fields.String(load_default=None, allow_none=True, validate=_IS_SHA256)


class EmptyImage(RequestSchema):
    """The body of a request for an all-zero disk."""

    size = JsonInteger(data_key="sizeBytes", required=True)
    name = fields.String(load_default=None, allow_none=True, validate=[max_length(255), printable])


class PublishImage(RequestSchema):
    """The optional body of a request to publish."""

    chunk_size = JsonInteger(
        data_key="chunkSize",
        load_default=None,
        allow_none=True,
        validate=validate.Range(512, 64 * 1024 * 1024, error="must be 512 to 67108864 bytes"),
    )
    checksum = fields.String(
        load_default="sha256", validate=validate.OneOf(["sha256", "none"], error="must be sha256 or none")
    )


class VerifyImage(RequestSchema):
    """The optional body of a request to verify."""

    sample = JsonInteger(
        load_default=None, allow_none=True, validate=validate.Range(1, 500_000, error="must be 1 to 500000")
    )
    seed = JsonInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 2**63 - 1, error="must be 0 to 2**63 - 1"),
    )


class DescribeImage(RequestSchema):
    name = fields.String(load_default=None, validate=[max_length(255), printable])
    visibility = choice(Visibility)

    @validates_schema
    def check_given(self, data: dict[str, Any], **_: Any) -> None:
        if data["name"] is None and data["visibility"] is None:
            raise ValidationError("name or visibility is required")


class ListImages(RequestSchema):
    limit = QueryInteger(load_default=100, validate=validate.Range(1, 1000, error="must be 1 to 1000"))
    state = choice(ImageState)
    name = fields.String(load_default=None, validate=[max_length(255), printable])
    cursor = fields.String(load_default=None, validate=max_length(512))
    shared = QueryBoolean(load_default=False)


class UploadUrl(RequestSchema):
    upload_id = _upload_id()
    part_number = _part_number()


class UploadUrls(RequestSchema):
    upload_id = _upload_id()
    part_numbers = ShortList(
        JsonInteger(validate=_PART_RANGE), MAX_URLS, data_key="partNumbers", required=True
    )


class Part(RequestSchema):
    number = _part_number()
    etag = fields.String(
        required=True,
        validate=[validate.Length(1, MAX_ETAG, error=f"must have 1 to {MAX_ETAG} characters"), printable],
    )

    @post_load
    def make(self, data: Mapping[str, Any], **_: Any) -> ClaimedPart:
        return ClaimedPart(**data)


class CompleteUpload(RequestSchema):
    upload_id = _upload_id()
    parts = ShortList(fields.Nested(Part), MAX_PARTS, load_default=None, allow_none=True)
    sha256 = fields.String(load_default=None, allow_none=True, validate=_IS_SHA256)


class MakeLease(RequestSchema):
    image_id = fields.String(
        data_key="imageId", load_default=None, allow_none=True, validate=[max_length(64), printable]
    )
    delta_id = fields.String(
        data_key="deltaId", load_default=None, allow_none=True, validate=[max_length(64), printable]
    )
    generation = JsonInteger(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 2**63 - 1, error="must be 0 to 2**63 - 1"),
    )
    scopes = fields.List(
        fields.Enum(Scope, by_value=True, error_messages={"unknown": f"must be one of {', '.join(Scope)}"}),
        load_default=lambda: [Scope.DISK_READ],
        validate=validate.Length(1, len(Scope), error="must contain disk:read, disk:write or both"),
    )
    ttl = seconds("ttlSeconds")
    when_lapsed = fields.Enum(
        WhenLapsed,
        by_value=True,
        data_key="whenLapsed",
        load_default=WhenLapsed.REFUSE,
        error_messages={"unknown": f"must be one of {', '.join(WhenLapsed)}"},
    )
    record = fields.Raw(load_default=False, validate=_true_or_false)

    @validates_schema
    def check_subject(self, data: dict[str, Any], **_: Any) -> None:
        if (data["image_id"] is None) == (data["delta_id"] is None):
            raise ValidationError("send either imageId or deltaId, not both")
        if data["delta_id"] is None and data["generation"] is not None:
            raise ValidationError("generation is for deltaId only")
        if data["delta_id"] is not None and data["record"]:
            raise ValidationError("record is for imageId only")


class MakeShare(RequestSchema):
    user = fields.String(required=True, validate=[max_length(256), printable, not_blank])
    permission = fields.Enum(
        Permission,
        by_value=True,
        load_default=Permission.READ,
        error_messages={"unknown": f"must be one of {', '.join(Permission)}"},
    )


class RemoveShare(RequestSchema):
    user = fields.String(required=True, validate=[max_length(256), printable])


class ListPage(RequestSchema):
    """The query of a list in pages."""

    limit = QueryInteger(load_default=100, validate=validate.Range(1, 1000, error="must be 1 to 1000"))
    cursor = fields.String(load_default=None, validate=[max_length(512), printable])


class MakeShareLink(RequestSchema):
    ttl = seconds("ttlSeconds")
    max_uses = JsonInteger(
        data_key="maxUses",
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 10**9, error="must be 1 to 1000000000"),
    )
    label = fields.String(
        load_default=None, allow_none=True, validate=[max_length(255), printable, not_blank]
    )


class SignIn(RequestSchema):
    user = fields.String(required=True, validate=[max_length(256), printable, not_blank])


class RedeemShareLink(RequestSchema):
    token = fields.String(required=True, validate=[max_length(256), printable])


@cache
def _made(schema: type[Schema]) -> Schema:
    """Return the shared instance of a schema: creating one copies all fields, loading keeps no state."""
    return schema()


def load_query(schema: type[Schema], request: Request) -> dict[str, Any]:
    """Parse the query string, the first of repeated names; raises BadRequest."""
    try:
        loaded: dict[str, Any] = _made(schema).load(request.args.to_dict())
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise BadRequest(_first_problem(messages)) from error
    return loaded


def load_json(schema: type[Schema], request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Parse the request's JSON object; raises BadRequest or UnsupportedMediaType."""
    data = request.get_data(cache=True)
    if request.content_length is None and len(data) >= (request.max_content_length or len(data) + 1):
        # Werkzeug truncates a chunked body at the limit without an error.
        raise TooLarge("the request body is too large")
    require_whole(data)
    if optional and not data:
        return dict(_made(schema).load({}))
    if not request.is_json:
        raise UnsupportedMediaType("Content-Type must be application/json")
    try:
        document = request.get_json()
        loaded: dict[str, Any] = _made(schema).load(document)
    except (MalformedJson, RecursionError) as error:
        raise BadRequest("the request body is not valid JSON") from error
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise BadRequest(_first_problem(messages)) from error
    return loaded


def _first_problem(messages: Mapping[Any, Any], path: str = "") -> str:
    key, value = next(iter(messages.items()))
    here = path if key == "_schema" else _join(path, key)
    if isinstance(value, Mapping):
        return _first_problem(value, here)
    return f"{here or 'body'}: {value[0]}"


def _join(path: str, key: Any) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)
