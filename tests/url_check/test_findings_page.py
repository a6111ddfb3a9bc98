"""The page of finding codes and the code name the same codes, severities and clients."""

from __future__ import annotations

import re

from image_gateway.domain.findings import Severity
from image_gateway.url_check.clients import CLIENTS
from image_gateway.url_check.codes import CODES
from tests.support.documents import ROOT

PAGE = ROOT / "docs/reference/findings.md"
MODULES = sorted((ROOT / "image_gateway/url_check").glob("*.py"))
# Broken for some clients or in some cases, a warning otherwise.
SOMETIMES = {"broken", "warning"}


def rows() -> dict[str, tuple[set[str], str]]:
    """The severities of each code in the section of the command, and who breaks."""
    (section,) = re.findall(r"^## check\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = re.findall(
        r"^\| `([a-z0-9-]+)` \| ([a-z, ]+) \| \S.* \| ([a-z0-9, -]+) \|$", section, re.MULTILINE
    )
    assert len({code for code, _, _ in found}) == len(found)
    return {code: (set(severity.split(", ")), who) for code, severity, who in found}


def who_breaks(code: str) -> str:
    names = [name for name, client in CLIENTS.items() if code in client.breaks]
    return "all" if len(names) == len(CLIENTS) else ", ".join(names) or "-"


def test_the_page_lists_the_codes_and_whom_they_break() -> None:
    assert {code: who for code, (_, who) in rows().items()} == {code: who_breaks(code) for code in CODES}


def test_the_page_says_how_bad_each_code_is() -> None:
    for code, (severities, who) in rows().items():
        worst = Severity.BROKEN if who != "-" else CODES[code].severity
        assert worst.value in severities, code
        assert severities in ({worst.value}, SOMETIMES), code


def test_each_code_is_found_by_some_check() -> None:
    found = set()
    for path in MODULES:
        if path.name not in ("codes.py", "clients.py", "report.py"):
            found |= set(re.findall(r'"([a-z0-9-]+)"', path.read_text()))
    assert CODES.keys() <= found
    raised = set(
        re.findall(
            r'\b(?:Fault|ProbeFailed)\(\s*"([a-z0-9-]+)"', "".join(path.read_text() for path in MODULES)
        )
    )
    assert raised - {"budget-exhausted"} <= CODES.keys()
    assert "`budget-exhausted`" in PAGE.read_text()
