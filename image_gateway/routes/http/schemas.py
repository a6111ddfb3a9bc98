"""marshmallow schemas of requests; unknown fields are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from flask import Request
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate, validates_schema
from werkzeug.exceptions import BadRequest as MalformedJson

from image_gateway.domain.images import ImageState, Kind, Visibility
from image_gateway.domain.leases import Scope, WhenLapsed
from image_gateway.domain.shares import Permission
from image_gateway.errors import BadRequest, TooLarge, UnsupportedMediaType
from image_gateway.protocol.parts import MAX_PARTS, ClaimedPart
from image_gateway.services.new_images import NewImage

MAX_UPLOAD_ID = 1024
MAX_ETAG = 4096
MAX_URLS = 1000
MAX_SECONDS = 10 * 366 * 86_400
_PART_RANGE = validate.Range(1, MAX_PARTS, error=f"must be 1 to {MAX_PARTS}")


def _upload_id() -> fields.String:
    rule = validate.Length(1, MAX_UPLOAD_ID, error=f"must have 1 to {MAX_UPLOAD_ID} characters")
    return fields.String(data_key="uploadId", required=True, validate=[rule, _printable])


class _JsonInteger(fields.Integer):
    """A JSON integer; Python would also accept true as 1."""

    def _validated(self, value: Any) -> Any:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class _ShortList(fields.List[Any]):
    """A list whose length is checked before its items: a million bad items would take a minute."""

    def __init__(self, item: fields.Field[Any], most: int, **options: Any) -> None:
        super().__init__(item, **options)
        self._most = most

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and not 1 <= len(value) <= self._most:
            raise ValidationError(f"must contain 1 to {self._most} parts")
        return super()._deserialize(value, *args, **kwargs)


class _QueryInteger(fields.Integer):
    """An integer in the query string."""

    def _validated(self, value: Any) -> Any:
        if not str(value).isdecimal() or not str(value).isascii() or len(str(value)) > 18:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class _QueryBoolean(fields.Boolean):
    """`true` or `false` in the query string."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            truthy={"true"},
            falsy={"false"},
            error_messages={"invalid": "must be true or false"},
            **options,
        )


def _part_number() -> fields.Integer:
    return _JsonInteger(data_key="partNumber", required=True, validate=_PART_RANGE)


def _seconds(name: str) -> fields.Integer:
    return _JsonInteger(
        data_key=name,
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, MAX_SECONDS, error=f"must be 1 to {MAX_SECONDS} seconds"),
    )


def _not_blank(text: str) -> None:
    if text != text.strip():
        raise ValidationError("must not begin or end with whitespace")


def _length(most: int) -> validate.Length:
    return validate.Length(1, most, error=f"must have 1 to {most} characters")


def _choice(kind: type[StrEnum]) -> fields.Enum[StrEnum]:
    allowed = ", ".join(kind)
    return fields.Enum(
        kind,
        by_value=True,
        load_default=None,
        allow_none=True,
        error_messages={"unknown": f"must be one of {allowed}", "invalid": f"must be one of {allowed}"},
    )


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("must not contain control characters")


def _true_or_false(value: Any) -> None:
    if type(value) is not bool:
        raise ValidationError("must be true or false")


class _RequestSchema(Schema):
    class Meta:
        unknown = EXCLUDE


class CreateImage(_RequestSchema):
    """The optional body of a create, into a NewImage."""

    name = fields.String(load_default=None, allow_none=True, validate=[_length(255), _printable])
    filename = fields.String(load_default=None, allow_none=True, validate=[_length(4096), _printable])
    kind = _choice(Kind)
    size = _JsonInteger(
        data_key="sizeBytes",
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, error="must not be negative"),
    )
    sha256 = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"\A[0-9a-fA-F]{64}\Z", error="must be 64 hex digits"),
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, NewImage]:
        filename = (data["filename"] or "").replace("\\", "/").rstrip("/").rpartition("/")[2][:255]
        name = data["name"] or filename or NewImage.name
        guessed = Kind.ISO if (filename or name).lower().endswith(".iso") else Kind.DISK
        sha256 = data["sha256"].lower() if data["sha256"] else None
        return {"new": NewImage(name, data["kind"] or guessed, data["size"], sha256)}


class DescribeImage(_RequestSchema):
    name = fields.String(load_default=None, validate=[_length(255), _printable])
    visibility = _choice(Visibility)

    @validates_schema
    def check_given(self, data: dict[str, Any], **_: Any) -> None:
        if data["name"] is None and data["visibility"] is None:
            raise ValidationError("name or visibility is required")


class ListImages(_RequestSchema):
    limit = _QueryInteger(load_default=100, validate=validate.Range(1, 1000, error="must be 1 to 1000"))
    state = _choice(ImageState)
    name = fields.String(load_default=None, validate=[_length(255), _printable])
    cursor = fields.String(load_default=None, validate=_length(512))
    shared = _QueryBoolean(load_default=False)


class UploadUrl(_RequestSchema):
    upload_id = _upload_id()
    part_number = _part_number()


class UploadUrls(_RequestSchema):
    upload_id = _upload_id()
    part_numbers = _ShortList(
        _JsonInteger(validate=_PART_RANGE), MAX_URLS, data_key="partNumbers", required=True
    )


class Part(_RequestSchema):
    number = _part_number()
    etag = fields.String(
        required=True,
        validate=[validate.Length(1, MAX_ETAG, error=f"must have 1 to {MAX_ETAG} characters"), _printable],
    )

    @post_load
    def make(self, data: Mapping[str, Any], **_: Any) -> ClaimedPart:
        return ClaimedPart(**data)


class CompleteUpload(_RequestSchema):
    upload_id = _upload_id()
    parts = _ShortList(fields.Nested(Part), MAX_PARTS, load_default=None, allow_none=True)


class MakeLease(_RequestSchema):
    image_id = fields.String(data_key="imageId", required=True, validate=[_length(64), _printable])
    scopes = fields.List(
        fields.Enum(Scope, by_value=True, error_messages={"unknown": f"must be one of {', '.join(Scope)}"}),
        load_default=lambda: [Scope.DISK_READ],
        validate=validate.Length(1, len(Scope), error="must contain disk:read, disk:write or both"),
    )
    ttl = _seconds("ttlSeconds")
    when_lapsed = fields.Enum(
        WhenLapsed,
        by_value=True,
        data_key="whenLapsed",
        load_default=WhenLapsed.REFUSE,
        error_messages={"unknown": f"must be one of {', '.join(WhenLapsed)}"},
    )
    record = fields.Raw(load_default=False, validate=_true_or_false)


class MakeShare(_RequestSchema):
    user = fields.String(required=True, validate=[_length(256), _printable, _not_blank])
    permission = fields.Enum(
        Permission,
        by_value=True,
        load_default=Permission.READ,
        error_messages={"unknown": f"must be one of {', '.join(Permission)}"},
    )


class RemoveShare(_RequestSchema):
    user = fields.String(required=True, validate=[_length(256), _printable])


class ListGrants(_RequestSchema):
    limit = _QueryInteger(load_default=100, validate=validate.Range(1, 1000, error="must be 1 to 1000"))
    cursor = fields.String(load_default=None, validate=[_length(512), _printable])


class MakeShareLink(_RequestSchema):
    ttl = _seconds("ttlSeconds")
    max_uses = _JsonInteger(
        data_key="maxUses",
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 10**9, error="must be 1 to 1000000000"),
    )


class RedeemShareLink(_RequestSchema):
    token = fields.String(required=True, validate=[_length(256), _printable])


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
    if len(data) < (request.content_length or 0):
        # gunicorn returns a truncated body when a client closes early.
        raise BadRequest("the request body is shorter than Content-Length")
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
