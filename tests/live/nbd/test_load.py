"""Parallel reads and writes that verify each other, through the exporter, the gateway and the store."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.live.nbd.conftest import SIZE, StartExporter
from tests.support.depth import depths
from tests.support.programs import require_programs

# Each job writes its own half of the disk, sometimes flushes it, and reads what it wrote.
HALF = SIZE // 2


@pytest.mark.parametrize("seconds", depths(3, int(os.environ.get("NBD_SECONDS", "30"))))
def test_what_fio_wrote_is_what_it_reads(seconds: int, export: StartExporter, tmp_path: Path) -> None:
    require_programs("fio", "nbdinfo")
    exporter = export("--flush-seconds", "1")
    fio = [
        *("fio", "--output-format=json", "--ioengine=nbd", f"--uri={exporter.uri}", f"--size={HALF}"),
        *("--time_based", f"--runtime={seconds}", "--fsync=32"),
        *("--verify=crc32c", "--verify_fatal=1", "--verify_backlog=16"),
        *("--name=small", "--rw=randrw", "--bsrange=512-16k", "--iodepth=8"),
        *("--name=large", "--rw=write", "--bs=256k", "--iodepth=4", f"--offset={HALF}"),
    ]
    done = subprocess.run(
        fio, cwd=tmp_path, capture_output=True, text=True, timeout=120 + 2 * seconds, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    jobs = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
    for job in jobs:
        assert job["error"] == 0
        assert job["read"]["total_ios"] > 0
        assert job["write"]["total_ios"] > 0
    assert exporter.process.is_alive()
    assert "bytes were not stored" not in exporter.said
