"""Markdown of an OpenAPI 3.1 document: every operation, parameter, response and schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

METHODS = ("get", "head", "post", "put", "patch", "delete")


def render_openapi(text: str) -> str:
    """Return the sections of the operations by tag, and of the shared responses and schemas."""
    document = yaml.safe_load(text)
    renderer = _Renderer(document)
    return "\n".join(renderer.lines())


class _Renderer:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._components = document["components"]

    def lines(self) -> Iterator[str]:
        yield "## General\n"
        yield self._document["info"]["description"]
        yield "## Credentials\n"
        yield from _table("scheme", "carried by", "meaning")
        for name, scheme in self._components["securitySchemes"].items():
            carried = f"`{scheme['in']}` `{scheme['name']}`" if "in" in scheme else "`Authorization: Bearer`"
            yield _row(f"`{name}`", carried, scheme.get("description", ""))
        yield ""
        for tag in self._document["tags"]:
            yield f"## {tag['name'].capitalize()}\n\n{tag['description']}.\n"
            for path, item in self._document["paths"].items():
                for method in METHODS:
                    if method in item and tag["name"] in item[method]["tags"]:
                        yield from self._operation(path, method, item)
        yield "## Shared responses\n"
        for name, response in self._components["responses"].items():
            yield from self._response(name, response)
        yield "## Schemas\n"
        for name, schema in self._components["schemas"].items():
            yield f"### Schema {name}\n"
            yield from self._schema(schema)

    def _operation(self, path: str, method: str, item: dict[str, Any]) -> Iterator[str]:
        operation = item[method]
        yield f"### {method.upper()} {path}\n"
        yield f"{operation['summary']}.\n"
        yield operation.get("description", "") + "\n"
        if operation.get("security") == []:
            yield "Needs no credentials.\n"
        parameters = [
            self._resolve(entry) for entry in (*item.get("parameters", ()), *operation.get("parameters", ()))
        ]
        if parameters:
            yield from _table("parameter", "in", "type", "meaning")
            for entry in parameters:
                name = f"`{entry['name']}`" + (" (required)" if entry.get("required") else "")
                meaning = entry.get("description", "")
                yield _row(name, entry["in"], self._type(entry["schema"]), meaning)
            yield ""
        if body := operation.get("requestBody"):
            yield f"Request body{'' if body.get('required') else ' (optional)'}:\n"
            for kind, content in body["content"].items():
                yield from self._content(kind, content)
        yield from _table("status", "answer", "body")
        for status, response in operation["responses"].items():
            text = self._resolve(response)["description"]
            if "$ref" in response:
                text += f" ({_link('response', response['$ref'])})"
            content = self._resolve(response).get("content", {})
            bodies = (f"`{kind}` {self._type(given['schema'])}" for kind, given in content.items())
            yield _row(f"`{status}`", text, ", ".join(bodies))
        yield ""

    def _response(self, name: str, response: dict[str, Any]) -> Iterator[str]:
        yield f"### Response {name}\n"
        yield f"{response['description']}.\n"
        if headers := response.get("headers"):
            yield from _table("header", "type", "meaning")
            for header, given in headers.items():
                value = self._resolve(given)
                yield _row(f"`{header}`", self._type(value["schema"]), value.get("description", ""))
            yield ""
        for kind, content in response.get("content", {}).items():
            yield from self._content(kind, content)

    def _content(self, kind: str, content: dict[str, Any]) -> Iterator[str]:
        schema = content["schema"]
        if "$ref" in schema or "properties" not in schema:
            yield f"`{kind}`: {self._type(schema) or 'bytes'}\n"
        else:
            yield f"`{kind}`:\n"
            yield from self._schema(schema)

    def _schema(self, schema: dict[str, Any]) -> Iterator[str]:
        if text := schema.get("description"):
            yield f"{text}.\n"
        if "properties" not in schema:
            yield f"{self._type({**schema, 'description': ''})}\n"
            return
        yield from _table("field", "type", "meaning")
        yield from self._fields(schema, "")
        yield ""

    def _fields(self, schema: dict[str, Any], prefix: str) -> Iterator[str]:
        required = schema.get("required", ())
        for name, field in schema["properties"].items():
            mark = " (required)" if name in required else ""
            yield _row(f"`{prefix}{name}`{mark}", self._type(field), field.get("description", ""))
            if "properties" in field:
                yield from self._fields(field, f"{prefix}{name}.")
            elif "properties" in field.get("items", {}):
                yield from self._fields(field["items"], f"{prefix}{name}[].")

    def _type(self, schema: dict[str, Any]) -> str:
        """Return a type with its bounds in one line."""
        if "$ref" in schema:
            return _link("schema", schema["$ref"])
        if "oneOf" in schema:
            return " or ".join(self._type(choice) for choice in schema["oneOf"])
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`"
        if "enum" in schema:
            return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
        kinds = schema.get("type", [])
        text = " or ".join([kinds] if isinstance(kinds, str) else kinds)
        if "items" in schema and "properties" not in schema["items"]:
            text += f" of {self._type(schema['items'])}"
        if "format" in schema:
            text += f" ({schema['format']})"
        bounds = [
            _bounds(schema.get(f"min{kind}"), schema.get(f"max{kind}"), unit)
            for kind, unit in (("imum", ""), ("Length", " characters"), ("Items", " items"))
        ]
        if "default" in schema:
            bounds.append(f"default `{json.dumps(schema['default'])}`")
        if "pattern" in schema:
            bounds.append(f"pattern `{schema['pattern']}`")
        return ", ".join(filter(None, [text, *bounds]))

    def _resolve(self, entry: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in entry:
            return entry
        _, _, kind, name = entry["$ref"].split("/")
        resolved: dict[str, Any] = self._components[kind][name]
        return resolved


def _bounds(least: int | None, most: int | None, unit: str) -> str:
    if least is not None and most is not None:
        return f"{least:,} to {most:,}{unit}"
    if most is not None:
        return f"at most {most:,}{unit}"
    return f"at least {least:,}{unit}" if least is not None else ""


def _link(kind: str, reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{kind}-{name.lower()})"


def _table(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
