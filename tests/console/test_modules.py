"""The console's modules in node, by its own test runner: one test here for each file of tests there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.installed import require_installed

FILES = sorted(Path(__file__).parent.glob("*.test.mjs"))
SECONDS = 120


@pytest.fixture(autouse=True)
def _node() -> None:
    require_installed("node")


def complaint(file: Path) -> str | None:
    """Run the tests of a file; what node wrote unless there are some, all ran and all passed."""
    # Without --test, which would count a file that has no tests as one that passed.
    command = ["node", "--test-reporter=tap", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", ended.stdout, re.M)}
    all_passed = ended.returncode == 0 and counts.get("tests", 0) == counts.get("pass", 0) > 0
    return None if all_passed else f"{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_tests_of_a_module_pass(file: Path) -> None:
    assert complaint(file) is None


@pytest.mark.parametrize(
    ("call", "passes"),
    [
        ("test('passes', () => {});", True),
        ("test('fails', () => { throw new Error('wrong'); });", False),
        ("test('passes', () => {}); test.skip('is left out', () => {});", False),
        ("", False),
    ],
)
def test_a_file_passes_if_it_has_tests_and_all_run_and_pass(tmp_path: Path, call: str, passes: bool) -> None:
    file = tmp_path / "sample.test.mjs"
    file.write_text(f"import test from 'node:test';\n{call}\n")
    assert (complaint(file) is None) is passes
