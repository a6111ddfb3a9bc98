"""What a release is made of: images by digest, packages by hash, and a list of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OLD, NEW = (f"sha256:{digit * 64}" for digit in "12")
TOKEN = "anonymous-token"


def locked(name: str) -> dict[str, set[str]]:
    """The packages of a lock file as name==version, with their hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    entries = re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?(==\S+)(.*)$", text, re.MULTILINE)
    return {
        name + version: set(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))
        for name, version, rest in entries
    }


def extras_of(lock: str) -> dict[str, set[str]]:
    """The extras that a lock file pins with each package."""
    text = (ROOT / "requirements" / lock).read_text()
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[([^]]*)\])?==", text, re.MULTILINE)
    return {name: set(filter(None, extras.split(","))) for name, extras in pins}


def requirements_of(package: str) -> list[str]:
    """What an installed package requires; nothing of one that another platform installs."""
    try:
        return distribution(package).requires or []
    except PackageNotFoundError:
        return []


def test_an_extra_that_a_locked_package_asks_for_is_pinned_with_it() -> None:
    """Else pip 23 looks up the newest release for "coverage[toml]", and stops at its missing hash."""
    pinned = extras_of("dev.txt")
    asked = [
        (required.name, required.extras)
        for name in pinned
        for required in map(Requirement, requirements_of(name))
        if required.extras and (required.marker is None or required.marker.evaluate({"extra": ""}))
    ]
    assert ("coverage", {"toml"}) in asked
    assert [(name, extras) for name, extras in asked if not extras <= pinned[name.lower()]] == []


@pytest.mark.thorough
def test_the_sbom_names_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    command = [sys.executable, str(ROOT / "requirements" / "sbom.py"), str(file)]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    document: dict[str, Any] = json.loads(file.read_text())
    assert document["bomFormat"] == "CycloneDX"
    found = {
        f"{component['name']}=={component['version']}": {
            checksum["content"]
            for reference in component["externalReferences"]
            for checksum in reference.get("hashes", [])
        }
        for component in document["components"]
    }
    assert found == locked("runtime.txt")
    licences = {
        component["name"]: json.dumps(component.get("licenses")) for component in document["components"]
    }
    assert "BSD-3-Clause" in licences["flask"]
    assert "null" not in [licences[name] for name in ("boto3", "sqlalchemy", "psycopg", "cryptography")]


def test_what_builds_the_package_is_locked_and_what_pyproject_asks_for() -> None:
    build = locked("build.txt")
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {entry.partition("==")[0] for entry in build} >= {re.split("[<>=]", name)[0] for name in required}
    assert all(build.values())
    # The tests build with the same.
    assert build.items() <= locked("dev.txt").items()


@pytest.fixture
def registry() -> Iterator[str]:
    """A registry that gives NEW for every tag but `missing`, to whoever has a token."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                host = self.headers["Host"]
                self.send_response(401)
                challenge = f'Bearer realm="http://{host}/token",service="fake",scope="repository:pull"'
                self.send_header("WWW-Authenticate", challenge)
            elif "index" in self.headers["Accept"] and not self.path.endswith("missing"):
                self.send_response(200)
                self.send_header("Docker-Content-Digest", NEW)
            else:
                self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            body = json.dumps({"token": TOKEN} if "service=fake" in self.path else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def pin(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "deploy" / "pin_images.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("digest", ["", f"@{OLD}"], ids=["by tag", "by an old digest"])
@pytest.mark.parametrize(
    "template",
    ["FROM {0}/a/python:3.13.16-slim{1} AS builder\nRUN x\nFROM {0}/a/python:3.13.16-slim{1}\n",
     "services:\n  store:\n    image: {0}/b:4.48{1}\n    command: [x]\n"],
    ids=["Dockerfile", "compose"],
)  # fmt: skip
def test_images_are_pinned_to_the_digest_of_their_tag(
    registry: str, tmp_path: Path, template: str, digest: str
) -> None:
    file = tmp_path / "file"
    before, after = template.format(registry, digest), template.format(registry, f"@{NEW}")
    file.write_text(before)
    checked = pin("--check", str(file))
    assert (checked.returncode, file.read_text()) == (1, before)
    assert NEW in checked.stdout
    assert (pin(str(file)).returncode, file.read_text()) == (0, after)
    assert pin("--check", str(file)).returncode == 0


def test_a_tag_that_the_registry_does_not_know_changes_nothing(registry: str, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM {registry}/a:missing\n")
    ended = pin(str(file))
    assert (ended.returncode, file.read_text()) == (2, f"FROM {registry}/a:missing\n")
    assert "404" in ended.stderr
    assert "Traceback" not in ended.stderr
