"""Rules for all files of the console: short, safe, from nowhere else, and shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from setuptools import Distribution

from tests.support.console_rules import foreign_urls, imports, inline_parts, unsafe_calls

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "image_gateway/console"
# For editors, lint and tests; not shipped.
TOOLS = {"package.json", "tsconfig.json", "tsconfig.worker.json"}
FILES = sorted(file for file in CONSOLE.rglob("*") if file.is_file() and file.name not in TOOLS)
SCRIPTS, PAGES, STYLES = (
    [file for file in FILES if file.suffix == kind] for kind in (".js", ".html", ".css")
)
TEXT = {".js", ".html", ".css", ".svg", ".json", ".webmanifest"}
BINARY = {".png", ".ico", ".woff2"}
MAX_LINES = 300


def name(file: Path) -> str:
    return str(file.relative_to(CONSOLE))


def test_the_console_has_pages_scripts_and_styles() -> None:
    assert PAGES
    assert SCRIPTS
    assert STYLES
    assert {file.suffix for file in FILES} <= TEXT | BINARY


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix in TEXT], ids=name)
def test_a_file_is_short_and_names_no_other_host(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert foreign_urls(text) == []


@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_a_script_makes_neither_markup_nor_code_nor_styles_out_of_text(file: Path) -> None:
    assert unsafe_calls(file.read_text()) == []


@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_a_script_imports_files_of_the_console_by_their_relative_path(file: Path) -> None:
    found = imports(file.read_text())
    assert [path for path in found if not path.startswith(("./", "../"))] == []
    assert [path for path in found if (file.parent / path).resolve() not in SCRIPTS] == []


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_a_page_has_no_inline_script_style_or_handler(file: Path) -> None:
    assert inline_parts(file.read_text()) == []


def test_every_file_is_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files(["setup.cfg"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    packaged = {
        (ROOT / source / file).resolve() for _, source, _, files in build.data_files for file in files
    }
    assert [name(file) for file in FILES if file not in packaged] == []
    assert [name(CONSOLE / tool) for tool in TOOLS if CONSOLE / tool in packaged] == []
