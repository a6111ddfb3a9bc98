"""The page on scaling: its commands exist, and its tables are those that the arithmetic makes."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.documents import ROOT

TIMES = "\N{MULTIPLICATION SIGN}"
PAGE = (ROOT / "docs/scaling.md").read_text()


def test_each_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", PAGE))
    assert {"bench-streaming", "bench-memory", "bench-control", "bench-catalog-postgres"} <= named <= targets
    scripts = re.findall(r"`python (bench/\w+\.py)", PAGE)
    assert scripts
    for script in scripts:
        assert (ROOT / script).is_file(), script


def test_the_sizing_tables_are_computed_from_the_costs_that_the_page_states() -> None:
    command = [sys.executable, str(ROOT / "bench/sizing.py")]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    tables = made.strip().split("\n\n")
    assert len(tables) == 3
    for table in tables:
        assert table in PAGE
    source = (ROOT / "bench/sizing.py").read_text()
    stated = dict(re.findall(r"^([A-Z_]+) = ([\d_.]+)$", source, re.MULTILINE))
    for name, unit in [("GATEWAY_READ_MS", " ms"), ("EDGE_READ_MS", " ms"), ("PERMISSION_MS", " ms")]:
        assert f"{TIMES} {stated[name]}{unit}" in PAGE, name
    for name in ("BYTES_PER_IMAGE", "BYTES_PER_LEASE"):
        assert f"{TIMES} {int(stated[name]):,} bytes" in PAGE, name


def test_sizes_of_your_own_and_wrong_ones() -> None:
    command = [sys.executable, str(ROOT / "bench/sizing.py")]
    own = subprocess.run(
        [*command, "--readers", "50", "--images", "20000", "--access-cache-seconds", "30"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert own.stdout.count("| 50 ") == 2
    wrong = subprocess.run([*command, "--readers", "some"], check=False, capture_output=True, text=True)
    assert (wrong.returncode, "not some" in wrong.stderr) == (2, True)
