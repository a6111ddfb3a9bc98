"""Writes a CycloneDX SBOM of requirements/runtime.txt: versions and hashes as locked, licences as found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def make_sbom() -> dict[str, Any]:
    """The SBOM of what the container installs.

    A lock file holds no licences: they are those of the same versions in this virtual environment, and
    missing for packages of other platforms.
    """
    document = _run("requirements", str(ROOT / "requirements" / "runtime.txt"))
    # Only licences are taken from it, and validating it takes four times as long as everything else.
    installed = _run("environment", sys.executable, "--no-validate")
    licences = {_key(component): component.get("licenses") for component in installed["components"]}
    for component in document["components"]:
        if found := licences.get(_key(component)):
            component["licenses"] = found
    return document


def _key(component: dict[str, Any]) -> tuple[str, str]:
    return component["name"].lower().replace("_", "-").replace(".", "-"), component["version"]


def _run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "cyclonedx_py", *arguments, "--output-reproducible", "--of", "JSON"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # arguments of our own
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(make_sbom(), indent=2) + "\n")
