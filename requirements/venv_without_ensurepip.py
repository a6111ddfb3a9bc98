"""Makes a virtual environment where Python came without ensurepip, as Debian's and Ubuntu's do.

Fetches one pinned pip wheel from the package index (PIP_INDEX_URL, or PyPI), checks its SHA-256, and
lets it install itself: python3 venv_without_ensurepip.py FOLDER
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin

WHEEL = "pip-26.3-py3-none-any.whl"
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


def fetch(url: str, accept: str = "*/*") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310  # the operator's index
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return answer.read()


def fetch_pip(folder: Path) -> Path:
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    files = json.loads(fetch(index, SIMPLE_JSON))["files"]
    url = next(entry["url"] for entry in files if entry["filename"] == WHEEL)
    content = fetch(urljoin(index, url))
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{WHEEL} is not the file that was expected: nothing was installed")
    wheel = folder / WHEEL
    wheel.write_bytes(content)
    return wheel


def main() -> None:
    target = Path(sys.argv[1])
    venv.create(target, with_pip=False, clear=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = fetch_pip(Path(scratch))
        command = [target / "bin" / "python", f"{wheel}/pip", "install", "--quiet", "--no-index", wheel]
        subprocess.run(command, check=True)  # noqa: S603  # our own venv's Python


main()
