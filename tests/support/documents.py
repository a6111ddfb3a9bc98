"""The documents of the repository, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *PAGES,
]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z-]*|\{[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->\s*\Z")
_RUN_AFTER = re.compile(r"^<!-- run after: (\S+) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str
    line: int
    not_run: bool

    def as_shell(self) -> str:
        """Return the block as lines of a shell script."""
        if self.language == "python":
            return f"python3 - <<'END_OF_PYTHON'\n{self.text}END_OF_PYTHON\n"
        return self.text


def blocks_of(path: Path) -> list[Block]:
    """Return the blocks of a document in their order."""
    text = path.read_text()
    blocks = []
    for found in _FENCE.finditer(text):
        indent = found["indent"]
        before = text[: found.start()]
        code = re.sub(f"^{indent}", "", found["text"], flags=re.MULTILINE)
        blocks.append(Block(found["language"], code, before.count("\n") + 1, bool(_NOT_RUN.search(before))))
    return blocks


def script_of(path: Path) -> str:
    """Return what a reader of the document types, after what it says is to be done before."""
    first = "".join(script_of(ROOT / name) for name in _RUN_AFTER.findall(path.read_text()))
    return first + "".join(
        block.as_shell()
        for block in blocks_of(path)
        if block.language in ("bash", "python") and not block.not_run
    )


def runnable_documents() -> list[Path]:
    """Return the documents that have something to run."""
    return [
        path
        for path in DOCUMENTS
        if any(block.language in ("bash", "python") and not block.not_run for block in blocks_of(path))
    ]
