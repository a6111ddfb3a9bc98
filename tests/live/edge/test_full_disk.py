"""A disk of the cache that is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.edge.conftest import SLICE, running_pair
from tests.live.edge.support import LARGE, MIB, read


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """A file system of its own; mounting needs root."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "image-gateway-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        if os.geteuid() == 0 and os.environ.get("CI"):
            pytest.fail(f"CI must mount: {mounted.stderr}")
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.thorough
@pytest.mark.parametrize("most", [16 * MIB, 10 * 1024 * MIB], ids=["small cache", "default cache"])
def test_a_full_cache_disk_does_not_stop_reads(
    environment: dict[str, str], tmp_path: Path, owner: str, most: int
) -> None:
    disk = tmp_path / "disk"
    with (
        small_disk(disk, 4),
        running_pair(
            environment, tmp_path / "pair", EDGE_CACHE_DIR=str(disk), EDGE_CACHE_MAX_BYTES=str(most)
        ) as pair,
    ):
        images = [pair.make_image(owner, LARGE) for _ in range(3)]
        for _ in range(2):
            for image_id in images:
                assert read(pair, owner, image_id).data == LARGE
                for start in range(0, len(LARGE), 5 * SLICE):
                    stop = start + SLICE
                    assert read(pair, owner, image_id, start, stop).data == LARGE[start:stop]
        assert pair.ask("POST", "/v1/images", {"X-User-Id": owner}, body=b" " * 100_000 + b"{}").status
