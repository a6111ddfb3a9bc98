"""README and site: what they tell readers to type works as written, against `image-gateway dev`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_gateway.local.ports import find_free_ports, is_free
from image_gateway.local.processes import ManagedProcess
from tests.live.support import COMMAND
from tests.support.documents import ROOT, runnable_documents, script_of
from tests.support.programs import require_programs

pytestmark = pytest.mark.xdist_group("documents")

# An HTTP error ends the script; a reader would see it.
PRELUDE = 'curl() { command curl --fail-with-body "$@"; }\n'

# What a page must have printed, beside ending well.
EXPECTED = {
    "README.md": ['"ok": true, "size": 8388608', '"auth": {"type": "url"'],
    "docs/tutorial/boot-an-emulator.md": ["Hello from image-gateway, read from 8 MiB into the disk."],
    "docs/how-to/uploads.md": ['"ok": true, "size": 73400320', "Accept-Ranges: bytes"],
    "docs/how-to/upload-engine.md": ["upload/engine.js", "upload/hash.worker.js"],
    "docs/how-to/keep-writes.md": ["console/deltas/open_delta.js"],
    "docs/how-to/cloudfront.md": ["cloudfront-private-key.pem (mode 0600): keep it secret"],
    "docs/how-to/chunks.md": [
        "published 2 chunks of 4194304 bytes",
        '"delivery": "chunked"',
        "aero.chunked-disk-image.v1",
    ],
    "docs/how-to/jobs.md": ["state:       done", '"kind": "publish"'],
    "docs/how-to/prefetch.md": ['"record": true', "65536"],
    "docs/how-to/verifying.md": [
        "read 2 of 2 chunks and compared with the disk",
        "read 2 of 2 chunks (seed 7)",
        '"ok": true',
        "version sha256-",
    ],
    "docs/how-to/checking-urls.md": [
        "https://page.example.com may read it",
        "'sqljs', 'qemu', 'aria2', 'browser'",
    ],
    "docs/how-to/manage-images.md": ['"name": "Windows 95"'],
    "docs/how-to/sharing.md": ['"permission": "read"', "igl~", '"visibility": "private"'],
    "docs/how-to/emulators.md": ['"expiresAt"', "0000000"],
    "docs/how-to/browsers.md": ['"ok": true'],
    "docs/how-to/doctor.md": ["nothing is wrong"],
    "docs/how-to/backup.md": ["disks without a record: 0", "left for later: 0"],
    "docs/how-to/sweeping.md": ['"left_for_later": 0'],
    "docs/how-to/front-door.md": ["listen 127.0.0.1:8080"],
    "docs/how-to/client.md": ['"size": 73400320', "linked.img", "Another name"],
    "docs/how-to/nbd.md": ["export-size: 8388608", "0000000   a   a   a   a   a   a   a   a"],
    "docs/how-to/deltas.md": [
        '"name": "My machine"',
        "before the upgrade",
        "machine.img, 8.0 MiB, generation 1",
        "x   x   x   x   x   x   x   x",
        '"runs": [[2, 1, "data"]]',
        '"storedBytes"',
    ],
    "docs/how-to/deploy.md": ["S3_BUCKET", '{"ok": true}'],
    "docs/reference/delta-format.md": ["b'IGD1' 568 [(7, 1, 0), (100, 50, None)]"],
    "docs/reference/python-client.md": ["6291456", "generation 1"],
}
# What a page needs beside what every reader has.
PROGRAMS = {"docs/how-to/nbd.md": ["nbdinfo", "qemu-io"]}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ManagedProcess, int, Path]]:
    data = tmp_path_factory.mktemp("dev") / "data"
    (port,) = find_free_ports(1)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("S3_", "AWS_"))}
    command = [str(COMMAND), "dev", "--data", str(data), "--port", str(port)]
    process = ManagedProcess("dev", command, env=plain, log=data.parent / "dev.log")
    process.wait_until(lambda: "press Ctrl-C" in process.log_tail(), seconds=90)
    yield process, port, data
    process.stop(grace=20)


@pytest.mark.parametrize(
    "document", runnable_documents(), ids=lambda path: str(path.relative_to(ROOT)).replace("/", "-")
)
def test_the_blocks_work_as_written(
    document: Path, dev: tuple[ManagedProcess, int, Path], tmp_path: Path
) -> None:
    _, port, data = dev
    require_programs(*PROGRAMS.get(str(document.relative_to(ROOT)), []))
    places = {
        "http://127.0.0.1:3000": f"http://127.0.0.1:{port}",
        ".image-gateway/env": str(data / "env"),
        ".venv/bin": str(COMMAND.parent),
    }
    script = PRELUDE + script_of(document)
    for written, here in places.items():
        script = script.replace(written, here)
    ended = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # What the client commands use unless a page says otherwise.
            "IMAGE_GATEWAY_API": f"http://127.0.0.1:{port}",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for text in EXPECTED[str(document.relative_to(ROOT))]:
        assert text in ended.stdout
    # A page that downloads an image prints its SHA-256, and then that of the file.
    sums = re.findall(r"^([0-9a-f]{64})  (?:-|\S+\.img)$", ended.stdout, re.MULTILINE)
    assert sums[::2] == sums[1::2]


def test_ctrl_c_stops_the_stack(dev: tuple[ManagedProcess, int, Path]) -> None:
    process, port, _ = dev
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    assert "stopped" in process.log_tail()
    assert is_free(port)
