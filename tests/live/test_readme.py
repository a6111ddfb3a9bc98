"""The README's curl flow, as written, against `image-gateway dev`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_gateway.local.ports import find_free_ports, is_free
from image_gateway.local.processes import ManagedProcess
from tests.live.support import COMMAND, ROOT

CHUNKED_AFTERWARDS = '\ncurl -sS "$API/v1/images/$IMAGE/stream-url" -H "X-User-Id: $USER_ID"'


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[tuple[ManagedProcess, int]]:
    (port,) = find_free_ports(1)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("S3_", "AWS_"))}
    command = [str(COMMAND), "dev", "--data", str(tmp_path / "data"), "--port", str(port)]
    process = ManagedProcess("dev", command, env=plain, log=tmp_path / "dev.log")
    process.wait_until(lambda: "Ctrl-C stops" in process.log_tail(), seconds=90)
    yield process, port
    process.stop(grace=20)


def flow(title: str) -> str:
    """Every bash block of a section of the README, one after the other."""
    readme = (ROOT / "README.md").read_text()
    (section,) = re.findall(rf"## {title}\n(.*?)\n## ", readme, re.DOTALL)
    blocks = re.findall(r"^( *)```bash\n(.*?)^ *```", section, re.DOTALL | re.MULTILINE)
    return "\n".join(re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks)


def test_the_flow_works_as_written(dev: tuple[ManagedProcess, int], tmp_path: Path) -> None:
    process, port = dev
    places = {
        "http://127.0.0.1:3000": f"http://127.0.0.1:{port}",
        ".image-gateway/env": str(tmp_path / "data" / "env"),
        ".venv/bin/image-gateway": str(COMMAND),
    }
    script = flow("The flow, by curl") + flow("Who may read") + flow("Chunks") + CHUNKED_AFTERWARDS
    for written, here in places.items():
        assert written in script
        script = script.replace(written, here)
    ended = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert '"ok": true, "size": 73400320' in ended.stdout
    assert "Accept-Ranges: bytes" in ended.stdout
    assert "published 18 chunks of 4194304 bytes" in ended.stdout
    assert '"delivery": "chunked"' in ended.stdout
    downloaded, original = re.findall(r"^([0-9a-f]{64}) ", ended.stdout, re.MULTILINE)
    assert downloaded == original

    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    assert "stopped" in process.log_tail()
    assert is_free(port)
