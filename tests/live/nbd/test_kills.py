"""A guest writes files to an exported disk, and the exporter is killed."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.live.nbd.conftest import Download, StartExporter
from tests.support.depth import depths
from tests.support.ext4 import check_files, hash_files
from tests.support.programs import require_programs
from tests.support.user_mode_linux import Guest

SEED = 33


@pytest.mark.parametrize("kills", depths(2, int(os.environ.get("EXPORTER_KILLS", "3"))))
def test_files_that_were_synced_survive_kills_of_the_exporter(
    kills: int, export: StartExporter, download: Download, tmp_path: Path
) -> None:
    """Each guest and each exporter begins with what the ones before it left."""
    require_programs("linux.uml", "slirp-fullbolt", "nbd-client", "busybox", "mkfs.ext4", "nbdcopy")
    source = random.Random(SEED)
    stored: dict[str, str] = {}
    for number in range(kills):
        exporter = export("--address", "127.0.0.1:0", "--flush-seconds", "1")
        port = urlsplit(exporter.uri).port
        assert port is not None
        guest = Guest(tmp_path, port, number, make_files=number == 0)
        try:
            guest.wait_for_files(source.randint(1, 12))
            exporter.kill()
        finally:
            guest.process.kill()
        stored |= guest.stored
        copy = download(tmp_path / "copy.img")
        check_files(copy)
        found = hash_files(copy, tmp_path / f"files-{number}")
        assert stored.items() <= found.items()
    exported = tmp_path / "exported.img"
    subprocess.run(["nbdcopy", export().uri, exported], check=True, timeout=120)
    assert exported.read_bytes() == download(copy).read_bytes()
