"""The page about checking URLs shows what the tests saw real clients do, and no more."""

from __future__ import annotations

import re

from tests.support.documents import ROOT
from tests.support.reader_clients import Reading
from tests.support.seen_readings import readings_that_fail

PAGE = ROOT / "docs/how-to/checking-urls.md"
CELLS = {Reading.RIGHT: "reads", Reading.WRONG: "**wrong bytes**", Reading.FAILED: "fails", None: "-"}


def test_the_table_of_real_clients_is_what_the_tests_saw() -> None:
    (section,) = re.findall(
        r"^## What real clients do\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    shown = {name.replace("`", ""): tuple(cells) for name, *cells in rows}
    assert len(shown) == len(rows)
    assert shown == {
        fault: tuple(CELLS[reading] for reading in row) for fault, row in readings_that_fail().items()
    }
