"""Markdown of the settings, the error codes and the Python client, made from the code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from marshmallow.fields import Field

import image_gateway.client
from image_gateway.errors import GatewayError
from image_gateway.settings import SettingsSchema


class PageError(Exception):
    """The page and the code do not agree."""


def settings_sections(lines: list[str]) -> str:
    """Return a section with a table for each `title: NAME PREFIX_*` line; every setting must be in one."""
    left = {field.data_key: field for field in SettingsSchema().fields.values()}
    sections = []
    for line in filter(None, lines):
        title, _, patterns = line.partition(":")
        names = [name for name in left if any(fnmatchcase(name, pattern) for pattern in patterns.split())]
        if not names:
            raise PageError(f"no setting matches {patterns}")
        rows = [_setting_row(name, left.pop(name)) for name in names]
        sections.append(
            "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows])
        )
    if left:
        raise PageError(f"these settings are in no section: {', '.join(left)}")
    return "\n\n".join(sections)


def _setting_row(name: str, field: Field) -> str:
    meaning = field.metadata["doc"]
    if example := field.metadata.get("example"):
        meaning += f". Example: `{example}`"
    cells = (f"[`{name}`]{{#{name}}}", setting_default(field), meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def setting_default(field: Field) -> str:
    """Return a setting's default as Markdown: empty when there is none."""
    if field.required:
        return "**required**"
    if field.load_default in (None, ()):
        return ""
    values = field.load_default if isinstance(field.load_default, tuple) else [field.load_default]
    return f"`{','.join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)}`"


def error_table(lines: list[str]) -> str:
    """Return a table of all error codes, with the meaning that a `CODE: meaning` line gives each."""
    meanings = dict(re.match(r"([A-Z0-9_]+): (.*)", line).groups() for line in filter(None, lines))  # type: ignore[union-attr]
    rows = ["| code | status | `Retry-After` | meaning |", "|---|---|---|---|"]
    for code, kind in sorted(error_kinds().items(), key=lambda item: (item[1].status, item[0])):
        if code not in meanings:
            raise PageError(f"the page does not explain the error code {code}")
        wait = getattr(kind, "retry_after", None)
        rows.append(f"| `{code}` | {kind.status} | {f'{wait} s' if wait else ''} | {meanings.pop(code)} |")
    if meanings:
        raise PageError(f"no such error codes: {', '.join(meanings)}")
    return "\n".join(rows)


def error_kinds() -> dict[str, type[GatewayError]]:
    """Return the exception of each error code; a code shared by parent and child is the parent's."""
    kinds: dict[str, type[GatewayError]] = {}
    for kind in _descend(GatewayError):
        kinds.setdefault(kind.code, kind)
    return kinds


def _descend(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descend(child)


def client_section(names: list[str]) -> str:
    """Return autodoc directives for names, wherever in image_gateway.client they are defined."""
    found = {}
    for info in pkgutil.walk_packages(image_gateway.client.__path__, "image_gateway.client."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__:
                found[name] = (module.__name__, "autoclass" if isinstance(value, type) else "autofunction")
    if unknown := [name for name in names if name not in found]:
        raise PageError(f"image_gateway.client defines no {', '.join(unknown)}")
    blocks = []
    for name in names:
        module_name, directive = found[name]
        options = "\n   :members:\n   :undoc-members:" if directive == "autoclass" else ""
        blocks.append(f".. {directive}:: {module_name}.{name}{options}\n")
    return "\n".join(["```{eval-rst}", *blocks, "```"])
