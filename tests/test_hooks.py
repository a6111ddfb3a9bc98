"""The hooks of pre-commit find what `make lint` finds in code and files.

Building the documentation, and checking the template of CloudFront, take longer than a commit should.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / ".pre-commit-config.yaml"


def lint_commands() -> set[str]:
    recipes = re.findall(
        r"^lint-(?:code|files):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    lines = [line for recipe in recipes for line in recipe.splitlines()]
    return {line.lstrip("\t@").replace("$(BIN)", ".venv/bin") for line in lines}


def test_the_hooks_run_the_commands_of_make_lint() -> None:
    [repository] = yaml.safe_load(CONFIG.read_text())["repos"]
    hooks = repository["hooks"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"] for hook in hooks} == lint_commands()


def test_pre_commit_accepts_its_configuration() -> None:
    command = [Path(sys.executable).parent / "pre-commit", "validate-config", str(CONFIG)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
