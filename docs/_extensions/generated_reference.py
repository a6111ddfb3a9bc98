"""Directives that write reference pages from the code: settings, error codes, HTTP API, Python client."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from docutils import nodes
from reference_tables import PageError, client_section, error_table, settings_sections
from rendered_openapi import render_openapi
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Generated(SphinxDirective):
    """A directive whose content becomes Markdown text, which is parsed in its place."""

    has_content = True
    optional_arguments = 1
    render: Callable[[_Generated], str]

    def run(self) -> list[nodes.Node]:
        try:
            text = self.render()
        except PageError as error:
            raise self.error(str(error)) from error
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Settings(_Generated):
    """`title: NAME PREFIX_*` lines; each becomes a section with a table."""

    def render(self) -> str:
        return settings_sections(list(self.content))


class ErrorCodes(_Generated):
    """`CODE: meaning` lines; status and Retry-After are the code's."""

    def render(self) -> str:
        return error_table(list(self.content))


class ClientClasses(_Generated):
    """Names of classes and functions of the package image_gateway.client."""

    def render(self) -> str:
        return client_section(" ".join(self.content).split())


class OpenApi(_Generated):
    """The operations and schemas of the OpenAPI document named by the argument."""

    def render(self) -> str:
        name, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(name)
        return render_openapi(Path(path).read_text())


def escape_help(_app: Sphinx, _context: object, lines: list[str]) -> None:
    """Let the plain text of a command's help stand in reStructuredText as it is, with code in backticks."""
    lines[:] = [
        "".join(
            f"``{piece}``" if index % 2 else re.sub(r"([*_|\\\\])", r"\\\1", piece)
            for index, piece in enumerate(line.split("`"))
        )
        for line in lines
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("settings", Settings)
    app.add_directive("error-codes", ErrorCodes)
    app.add_directive("client-classes", ClientClasses)
    app.add_directive("openapi", OpenApi)
    for part in ("description", "epilog"):
        app.connect(f"sphinx-click-process-{part}", escape_help)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
