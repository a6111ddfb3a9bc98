"""The JSON that clients send, as marshmallow schemas; unknown fields are let pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Request
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate
from werkzeug.exceptions import BadRequest as MalformedJson

from image_gateway.errors import BadRequest, UnsupportedMediaType
from image_gateway.protocol.parts import MAX_PARTS, ClaimedPart

MAX_UPLOAD_ID = 1024
MAX_ETAG = 4096


def _upload_id() -> fields.String:
    rule = validate.Length(1, MAX_UPLOAD_ID, error=f"must have 1 to {MAX_UPLOAD_ID} characters")
    return fields.String(data_key="uploadId", required=True, validate=[rule, _printable])


class _JsonInteger(fields.Integer):
    """A JSON number without a fraction; Python would also take true as 1."""

    def _validated(self, value: Any) -> Any:
        if isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def _part_number() -> fields.Integer:
    rule = validate.Range(1, MAX_PARTS, error=f"must be 1 to {MAX_PARTS}")
    return _JsonInteger(data_key="partNumber", required=True, strict=True, validate=rule)


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("must hold no control characters")


class _RequestSchema(Schema):
    class Meta:
        unknown = EXCLUDE


class CreateImage(_RequestSchema):
    """The optional body of a create; it holds nothing yet."""


class UploadUrl(_RequestSchema):
    upload_id = _upload_id()
    part_number = _part_number()


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
    parts = fields.List(
        fields.Nested(Part),
        required=True,
        validate=validate.Length(1, MAX_PARTS, error=f"must name 1 to {MAX_PARTS} parts"),
    )


def load_json(schema: type[Schema], request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Parse the request's JSON object; BadRequest or UnsupportedMediaType say what is wrong with it."""
    if optional and not request.get_data(cache=True):
        return {}
    if not request.is_json:
        raise UnsupportedMediaType("send the body as Content-Type: application/json")
    try:
        document = request.get_json()
        loaded: dict[str, Any] = schema().load(document)
    except (MalformedJson, RecursionError) as error:
        raise BadRequest("the body is not valid JSON") from error
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
