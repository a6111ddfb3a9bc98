"""The generated pages of the reference refuse to leave something out."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from image_gateway.errors import GatewayError
from image_gateway.settings import SettingsSchema
from tests.support.documents import ROOT

EVERY_SETTING = "All: *"
CONTRACT = """
info: {description: What it is.}
tags: [{name: things, description: All things}]
paths:
  /things/{id}:
    parameters: [{$ref: '#/components/parameters/Id'}]
    get:
      tags: [things]
      summary: A thing
      responses:
        '200':
          description: The thing
          content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}
        '404': {$ref: '#/components/responses/Error'}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}
  parameters: {Id: {name: id, in: path, required: true, schema: {type: string, minLength: 1, maxLength: 9}}}
  responses: {Error: {description: It failed, headers: {Retry-After: {schema: {type: string}}}}}
  schemas:
    Thing:
      type: object
      required: [size]
      properties:
        size: {type: integer, minimum: 0, description: Bytes}
        parts: {type: array, items: {type: object, properties: {etag: {type: [string, 'null']}}}}
"""


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs/_extensions"))
    return importlib.import_module("reference_tables")


def test_a_setting_without_a_section_stops_the_build(tables: ModuleType) -> None:
    names = [str(field.data_key) for field in SettingsSchema().fields.values()]
    assert all(f"{{#{name}}}" in tables.settings_sections([EVERY_SETTING]) for name in names)
    with pytest.raises(tables.PageError, match="AWS_REGION"):
        tables.settings_sections(["Some: S3_*"])


def test_a_section_without_a_setting_stops_the_build(tables: ModuleType) -> None:
    with pytest.raises(tables.PageError, match="REMOVED_\\*"):
        tables.settings_sections([EVERY_SETTING, "Gone: REMOVED_*"])


def test_an_error_code_that_is_not_explained_stops_the_build(tables: ModuleType) -> None:
    lines = [f"{code}: explained" for code in tables.error_kinds()]
    assert f"| `{GatewayError.code}` | 500 |" in tables.error_table(lines)
    with pytest.raises(tables.PageError, match="NOT_FOUND"):
        tables.error_table([line for line in lines if not line.startswith("NOT_FOUND")])
    with pytest.raises(tables.PageError, match="REMOVED"):
        tables.error_table([*lines, "REMOVED: explained"])


def test_a_class_that_the_client_lacks_stops_the_build(tables: ModuleType) -> None:
    assert ".GatewayClient\n   :members:" in tables.client_section(["GatewayClient"])
    with pytest.raises(tables.PageError, match="NoSuchClass"):
        tables.client_section(["NoSuchClass"])


def test_the_contract_is_rendered_with_its_references_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs/_extensions"))
    lines = importlib.import_module("rendered_openapi").render_openapi(CONTRACT).splitlines()
    for line in (
        "What it is.",
        "| `key` | `header` `X-Key` |  |",
        "### GET /things/{id}",
        "| `id` (required) | path | string, 1 to 9 characters |  |",
        "| `200` | The thing | `application/json` [Thing](#schema-thing) |",
        "| `404` | It failed ([Error](#response-error)) |  |",
        "### Response Error",
        "| `Retry-After` | string |  |",
        "### Schema Thing",
        "| `size` (required) | integer, at least 0 | Bytes |",
        "| `parts[].etag` | string or null |  |",
    ):
        assert line in lines
