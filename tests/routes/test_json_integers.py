"""Integers of the JSON that clients send: a number without fraction or exponent, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, fields

from image_gateway.errors import BadRequest
from image_gateway.routes.http import delta_schemas, schemas
from tests.support.world import World

# What a field's schema needs beside it.
OTHERS = {
    "UploadUrl": '"uploadId": "u", ',
    "UploadUrls": '"uploadId": "u", ',
    "CompleteUpload": '"uploadId": "u", ',
    "MakeLease": '"imageId": "i", ',
    "MakeLease-generation": '"deltaId": "d", ',
    "MakeDelta": '"imageId": "i", ',
    "MakeDelta-generation": '"fromDelta": "d", ',
    "MakeSnapshot": '"name": "n", ',
    "FlattenDelta": '"name": "n", ',
}
# Where 7 is out of bounds.
VALID = {"chunkSize": "512"}
QUERIES = {
    schemas.ListImages,
    schemas.ListPage,
    delta_schemas.ListDeltas,
    delta_schemas.ReadDelta,
    delta_schemas.ShowMap,
}
APP = Flask(__name__)


def integer_fields(schema: type[Schema]) -> Iterator[tuple[str, str, bool]]:
    """Yield for each integer the JSON around %s, its name in errors, and whether it may be null."""
    for key, field in schema._declared_fields.items():
        yield from places_of(field, field.data_key or key, "%s")


def places_of(field: fields.Field, name: str, around: str) -> Iterator[tuple[str, str, bool]]:
    if isinstance(field, fields.Integer):
        yield f'"{name.partition("[")[0]}": {around}', name, bool(field.allow_none)
    elif isinstance(field, fields.List):
        inner = field.inner
        if isinstance(inner, fields.Nested):
            for document, part, null in integer_fields(type(inner.schema)):
                wrapped = f'[{{"etag": "e", {document}}}]'
                yield f'"{name}": {wrapped}', f"{name}[0].{part}", null
        else:
            yield from places_of(inner, f"{name}[0]", around.replace("%s", "[%s]"))


def others(schema: type[Schema], name: str) -> str:
    """Return what a field needs beside it."""
    return OTHERS.get(f"{schema.__name__}-{name}", OTHERS.get(schema.__name__, ""))


CASES = [
    pytest.param(schema, f"{{{others(schema, name)}{document}}}", name, null, id=f"{schema.__name__}-{name}")
    for schema in {**vars(schemas), **vars(delta_schemas)}.values()
    if isinstance(schema, type) and issubclass(schema, Schema) and schema not in QUERIES
    for document, name, null in integer_fields(schema)
    # Its own schema has it; it is sent inside of CompleteUpload.
    if schema is not schemas.Part
]


def load(schema: type[Schema], body: str) -> object:
    with APP.test_request_context(method="POST", data=body, content_type="application/json"):
        return schemas.load_json(schema, request)


def test_every_integer_of_the_api_is_tried() -> None:
    assert {case.id for case in CASES} == {
        "CreateImage-sizeBytes",
        "UploadUrl-partNumber",
        "UploadUrls-partNumbers[0]",
        "CompleteUpload-parts[0].partNumber",
        "MakeLease-ttlSeconds",
        "MakeShareLink-ttlSeconds",
        "MakeShareLink-maxUses",
        "EmptyImage-sizeBytes",
        "PublishImage-chunkSize",
        "VerifyImage-sample",
        "VerifyImage-seed",
        "MakeLease-generation",
        "MakeDelta-blockSize",
        "MakeDelta-generation",
        "OpenSession-ttlSeconds",
        "MakeSnapshot-generation",
        "ResetDelta-generation",
        "FlattenDelta-generation",
    }


@pytest.mark.parametrize(("schema", "body", "name", "null"), CASES)
def test_a_number_with_a_fraction_or_an_exponent_is_no_integer(
    schema: type[Schema], body: str, name: str, null: bool
) -> None:
    load(schema, body % VALID.get(name, "7"))

    @given(
        st.integers(1, 10_000).map(lambda number: f"{number}.0")
        | st.integers(1, 9).map(lambda number: f"{number}e0")
        | st.integers(1, 9).map(lambda number: f"{number}E+2")
        | st.integers(1, 10_000).map(lambda number: f'"{number}"')
        | st.floats(1, 10_000).map(repr)
        | st.sampled_from(["true", "false", '""', "[]", "[1]", "{}", "NaN", "Infinity", "-0.0", "1e400"])
    )
    def check(value: str) -> None:
        with pytest.raises(BadRequest) as caught:
            load(schema, body % value)
        assert caught.value.message.startswith(f"{name}: ")

    check()
    if null:
        load(schema, body % "null")
    else:
        with pytest.raises(BadRequest) as caught:
            load(schema, body % "null")
        assert caught.value.message.startswith(f"{name}: ")


def test_a_client_is_told_which_number_is_no_integer(world: World) -> None:
    image_id, upload_id = world.begin()
    body = f'{{"uploadId": "{upload_id}", "partNumber": 1.0}}'
    answer = world.request(
        "POST", f"/v1/images/{image_id}/upload-url", data=body, content_type="application/json"
    )
    assert answer.status_code == 400
    assert answer.get_json()["error"]["message"].startswith("partNumber: ")
