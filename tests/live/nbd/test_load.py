"""Parallel reads and writes that verify each other, through the exporter, the gateway and the store."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.live.nbd.conftest import SIZE, StartExporter
from tests.support.depth import depths
from tests.support.qemu import require_programs

# Each job writes its own half of the disk, sometimes flushes it, and reads what it wrote.
HALF = SIZE // 2


@pytest.mark.parametrize("seconds", depths(3, int(os.environ.get("NBD_SECONDS", "30"))))
def test_what_fio_wrote_is_what_it_reads(seconds: int, export: StartExporter, tmp_path: Path) -> None:
    require_programs("fio", "nbdinfo")
    exporter = export("--flush-seconds", "1")
    shared = [
        "--ioengine=nbd",
        f"--uri={exporter.uri}",
        f"--size={HALF}",
        f"--runtime={seconds}",
        "--time_based",
    ]
    verified = ["--verify=crc32c", "--verify_fatal=1", "--verify_backlog=16", "--fsync=32", "--do_verify=1"]
    fio = [
        *("fio", "--output-format=json", *shared, *verified),
        *(
            "--name=small",
            "--rw=randrw",
            "--bsrange=512-16k",
            "--bs_unaligned=0",
            "--iodepth=8",
            "--offset=0",
        ),
        *("--name=large", "--rw=write", "--bs=256k", "--iodepth=4", f"--offset={HALF}"),
    ]
    done = subprocess.run(
        fio, cwd=tmp_path, capture_output=True, text=True, timeout=60 + 3 * seconds, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    jobs = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
    for job in jobs:
        assert job["error"] == 0
        assert job["read"]["total_ios"] > 0
        assert job["write"]["total_ios"] > 0
    assert exporter.process.is_alive()
    assert "bytes were not stored" not in exporter.said
