"""README, contract, settings and command line say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from image_gateway.settings import SettingsSchema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def table_rows() -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \| (.*?) \| (.*) \|$", README, re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def test_the_readme_lists_every_setting_in_order() -> None:
    assert list(table_rows()) == [field.data_key for field in SettingsSchema().fields.values()]


@pytest.mark.parametrize("field", SettingsSchema().fields.values(), ids=lambda field: field.data_key)
def test_the_readme_says_what_the_schema_says(field) -> None:
    default, meaning = table_rows()[field.data_key]
    assert meaning == field.metadata["doc"]
    assert (default == "**required**") == field.required
    if not field.required and field.load_default not in (None, ()):
        values = field.load_default if isinstance(field.load_default, tuple) else [field.load_default]
        text = ",".join(str(value) for value in values).replace("False", "false").replace("True", "true")
        assert default == f"`{text}`"


def test_links_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name} links to {target}"
