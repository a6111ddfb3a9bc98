"""README and site: what they say is complete, their links lead somewhere, and no command goes untested."""

from __future__ import annotations

import fcntl
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from image_gateway.cli.main import cli
from image_gateway.client.api import GatewayClient
from image_gateway.errors import GatewayError
from image_gateway.settings import SettingsSchema
from tests.support.documents import DOCUMENTS, PAGES, ROOT, blocks_of

FIELDS = list(SettingsSchema().fields.values())
LANGUAGES = {
    "bash",
    "console",
    "diff",
    "html",
    "ini",
    "js",
    "json",
    "mermaid",
    "nginx",
    "python",
    "text",
    "yaml",
    "",
}
# What readers of a document make, by its steps.
_MADE_BY_READERS = ("docs/_build", "deploy/kubernetes/overlays/production")
_PATH_IN_TEXT = re.compile(r"\b(?:docs|deploy|bench)/[\w./-]*\w")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; once for all workers of a run."""
    scratch = tmp_path_factory.getbasetemp()
    folder = (scratch.parent if "PYTEST_XDIST_WORKER" in os.environ else scratch) / "site"
    with (folder.parent / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            (command,) = re.findall(r"^\t\$\(BIN\)/(sphinx-build .*)$", (ROOT / "Makefile").read_text(), re.M)
            arguments = command.replace("docs/_build", str(folder)).split()[1:]
            built = subprocess.run(
                [sys.executable, "-m", "sphinx", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert built.returncode == 0, built.stderr
            (folder / "built").touch()
    return folder / "html"


def rows(site: Path, page: str) -> dict[str, list[str]]:
    """Return the cells of every table row of a page, by the text of the first cell."""
    found = {}
    for row in re.findall(r"<tr\b.*?</tr>", (site / page).read_text(), re.DOTALL):
        cells = re.findall(r"<td\b[^>]*>(.*?)</td>", row, re.DOTALL)
        texts = [
            " ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).replace("`", "").split()) for cell in cells
        ]
        if texts:
            found[texts[0]] = texts[1:]
    return found


def test_make_docs_treats_warnings_as_errors_and_is_part_of_lint() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"sphinx-build .*-W .*-n ", makefile)
    assert re.search(r"^lint:.*\n\t.*\bdocs\b", makefile, re.MULTILINE)


def test_the_settings_page_has_every_setting_with_its_text(site: Path) -> None:
    shown = rows(site, "reference/settings.html")
    assert set(shown) == {field.data_key for field in FIELDS}
    for field in FIELDS:
        default, meaning = shown[field.data_key]
        assert meaning.startswith(field.metadata["doc"].replace("`", "")), field.data_key
        assert (default == "required") == field.required
        if field.required or field.load_default in (None, ()):
            continue
        values = field.load_default if isinstance(field.load_default, tuple) else [field.load_default]
        assert default == ",".join(str(value) for value in values).replace("False", "false").replace(
            "True", "true"
        )


def test_the_error_page_has_every_code_with_its_status(site: Path) -> None:
    shown = rows(site, "reference/error-codes.html")
    kinds, codes = [GatewayError], {}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "code" in vars(kind):
            codes[kind.code] = str(kind.status)
    assert codes.keys() <= shown.keys()
    for code, status in codes.items():
        assert shown[code][0] == status
        assert len(shown[code][-1]) > 5
    template = (ROOT / "image_gateway/edge/nginx.conf.jinja").read_text()
    assert set(re.findall(r'_edge/\d+", \d+, "([A-Z_]+)"', template)) <= shown.keys()


def test_the_api_page_has_every_operation(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", (site / "reference/http-api.html").read_text()))
    contract = (ROOT / "openapi.yaml").read_text()
    paths = re.split(r"^  (/\S*):\n", contract.partition("\ncomponents:")[0], flags=re.MULTILINE)[1:]
    operations = [
        (method.upper(), path)
        for path, body in zip(paths[::2], paths[1::2], strict=True)
        for method in re.findall(r"^    (get|head|post|put|patch|delete):", body, re.MULTILINE)
    ]
    assert len(operations) > 20
    for method, path in operations:
        assert f"{method} {path}" in text


def test_the_command_page_has_every_command(site: Path) -> None:
    text = (site / "reference/command-line.html").read_text()
    groups, names = [("image-gateway", cli)], []
    while groups:
        name, command = groups.pop()
        names.append(name)
        groups += [(f"{name}-{child}", found) for child, found in getattr(command, "commands", {}).items()]
    assert len(names) > 20
    for name in names:
        assert f'id="{name}"' in text


def test_the_client_page_has_every_call(site: Path) -> None:
    text = (site / "reference/python-client.html").read_text()
    for name in vars(GatewayClient):
        if not name.startswith("_"):
            assert f'id="{GatewayClient.__module__}.GatewayClient.{name}"' in text


def test_the_site_can_be_read_without_asking_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.search(r"<(?:script|link|img)\b[^>]*\b(?:src|href)=\"https?://", page.read_text()), page


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(document: Path) -> None:
    """Anchors within the site are checked by its build; GitHub shows no link that has no text."""
    assert "[](" not in document.read_text()
    for target in re.findall(r"\]\((?!http|#)<?([^)#>]+)(?:#[^)]*)?>?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{relative(document)} links to {target}"


def test_paths_of_documents_in_code_and_comments_exist() -> None:
    """Log messages, help texts, docstrings and comments name documents too."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    wrong = []
    for name in tracked.stdout.splitlines():
        # The paths of pre-commit's hooks are patterns.
        if name == ".pre-commit-config.yaml" or not name.endswith(
            (".py", ".md", ".yaml", ".yml", ".cfg", ".toml", ".jinja", ".sh", "Makefile")
        ):
            continue
        for path in _PATH_IN_TEXT.findall((ROOT / name).read_text()):
            if not path.startswith(_MADE_BY_READERS) and not (ROOT / path).exists():
                wrong.append(f"{name}: {path}")
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_block_is_run_or_says_why_not(document: Path) -> None:
    """Bash and Python are run by tests/live/test_readme.py, unless a comment says why not."""
    fences = re.findall(r"^ *```", document.read_text(), re.MULTILINE)
    blocks = blocks_of(document)
    assert len(fences) == 2 * len(blocks), "a block is not recognised"
    for block in blocks:
        language = block.language
        assert language in LANGUAGES or language.startswith("{"), f"{relative(document)}:{block.line}"
        if language == "":
            assert document not in PAGES, f"{relative(document)}:{block.line} names no language"
