"""Fields and rules of request schemas."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

MAX_SECONDS = 10 * 366 * 86_400


class JsonInteger(fields.Integer):
    """A JSON integer; Python would also accept true as 1."""

    def _validated(self, value: Any) -> Any:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class ShortList(fields.List[Any]):
    """A list whose length is checked before its items: a million bad items would take a minute."""

    def __init__(self, item: fields.Field[Any], most: int, **options: Any) -> None:
        super().__init__(item, **options)
        self._most = most

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and not 1 <= len(value) <= self._most:
            raise ValidationError(f"must contain 1 to {self._most} parts")
        return super()._deserialize(value, *args, **kwargs)


class QueryInteger(fields.Integer):
    """An integer in the query string."""

    def _validated(self, value: Any) -> Any:
        if not str(value).isdecimal() or not str(value).isascii() or len(str(value)) > 18:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class QueryBoolean(fields.Boolean):
    """`true` or `false` in the query string."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            truthy={"true"},
            falsy={"false"},
            error_messages={"invalid": "must be true or false"},
            **options,
        )


def seconds(name: str) -> fields.Integer:
    """Return an optional number of seconds."""
    return JsonInteger(
        data_key=name,
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, MAX_SECONDS, error=f"must be 1 to {MAX_SECONDS} seconds"),
    )


def not_blank(text: str) -> None:
    """Refuse text that begins or ends with blanks."""
    if text != text.strip():
        raise ValidationError("must not begin or end with whitespace")


def max_length(most: int) -> validate.Length:
    """Return the rule for text of 1 to `most` characters."""
    return validate.Length(1, most, error=f"must have 1 to {most} characters")


def choice(kind: type[StrEnum]) -> fields.Enum[StrEnum]:
    """Return an optional value of an enum."""
    allowed = ", ".join(kind)
    return fields.Enum(
        kind,
        by_value=True,
        load_default=None,
        allow_none=True,
        error_messages={"unknown": f"must be one of {allowed}", "invalid": f"must be one of {allowed}"},
    )


def printable(text: str) -> None:
    """Refuse text with control characters."""
    if not text.isprintable():
        raise ValidationError("must not contain control characters")


class RequestSchema(Schema):
    """A schema that ignores unknown fields."""

    class Meta:
        unknown = EXCLUDE
