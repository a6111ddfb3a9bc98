"""What docs/reference/findings.md says of the codes of findings."""

from __future__ import annotations

import re
from functools import cache

from tests.support.documents import ROOT


@cache
def documented_severities(command: str) -> dict[str, set[str]]:
    """The severities of each code, in the sections whose titles begin with the command's name."""
    page = (ROOT / "docs/reference/findings.md").read_text()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)
    text = "".join(section for section in sections if section.startswith(command))
    cells = re.findall(r"^\| `([a-z0-9-]+)` \| ([a-z, ]+) \| \S", text, re.MULTILINE)
    assert len({code for code, _ in cells}) == len(cells)
    return {code: set(severity.split(", ")) for code, severity in cells}
