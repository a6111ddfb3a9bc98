"""gunicorn is used by its settings, hooks and public names only, so that it can be upgraded."""

from __future__ import annotations

import re
from pathlib import Path

import gunicorn

ROOT = Path(__file__).parents[2]
PRIVATE_NAME = re.compile(r"\b_[A-Za-z]\w*")


def sources() -> list[Path]:
    return [path for folder in ("image_gateway", "bench") for path in (ROOT / folder).rglob("*.py")]


def test_no_worker_of_gunicorn_is_imported() -> None:
    assert [
        path for path in sources() if re.search(r"gunicorn\.workers|ThreadWorker", path.read_text())
    ] == []


def test_nothing_uses_a_private_name_of_gunicorn() -> None:
    package = Path(gunicorn.__file__).parent
    private = {name for path in package.rglob("*.py") for name in PRIVATE_NAME.findall(path.read_text())}
    assert {"_set_handler", "_compute_access_log_enabled", "_DEFER"} <= private
    used = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        for name in sorted(private & private_names_in(path.read_text()))
    ]
    assert used == []


def private_names_in(text: str) -> set[str]:
    """All of a module that imports gunicorn; else those of other objects than a module's own."""
    if re.search(r"^\s*(?:from|import) gunicorn", text, re.MULTILINE):
        return set(PRIVATE_NAME.findall(text))
    return set(re.findall(r"(?<!\bself)(?<!\bcls)\.(_[A-Za-z]\w*)", text))
