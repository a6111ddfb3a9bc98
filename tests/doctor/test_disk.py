"""Folders, disks and limits of this machine as the doctor sees them."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from image_gateway.block_cache.cache_directory import CacheDirectory
from image_gateway.block_cache.capacity import CacheUsage, Capacity
from image_gateway.doctor.disk import check_disk
from image_gateway.doctor.jobs import check_jobs
from image_gateway.doctor.mounts import file_system_of, is_network_file_system
from tests.support.environments import load
from tests.support.findings import codes_of, findings_of, only_finding, skipped_of

GIB = 1024**3
MIB = 1024**2
MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /srv/my\\040cache rw - nfs4 files:/export rw
23 21 0:6 / /srv/fast rw - tmpfs tmpfs rw
24 21 0:7 / /srv/fast rw - xfs /dev/sdb1 rw
"""


def free_bytes(free: int) -> Callable[[str], Any]:
    return lambda _: SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)


def test_a_healthy_machine_has_no_finding(tmp_path: Path) -> None:
    settings = load(RANGE_CACHE_DIR=str(tmp_path / "cache"), RANGE_CACHE_MAX_BYTES=str(16 * MIB))
    checks = list(check_disk(settings))
    assert codes_of(checks) == []
    assert skipped_of(checks) == {"EDGE_CACHE_DIR": "EDGE_TOKEN is not set", "EMULATOR_V86_PATH": "not set"}
    assert list(tmp_path.iterdir()) == []


def test_a_cache_larger_than_its_disk(tmp_path: Path) -> None:
    settings = load(RANGE_CACHE_DIR=str(tmp_path))
    finding = only_finding(check_disk(settings, statvfs=free_bytes(4 * GIB)))
    assert (finding.code, finding.severity) == ("disk-too-small", "warning")
    assert finding.what == (
        f"RANGE_CACHE_DIR={tmp_path}: 4.0 GiB are free; RANGE_CACHE_MAX_BYTES lets the cache grow by 10.0 GiB"
    )


def test_what_the_cache_holds_already_needs_no_more_space(tmp_path: Path) -> None:
    directory = CacheDirectory(tmp_path)
    directory.prepare()
    with Capacity(directory, CacheUsage(20 * GIB, 1000)).reserving(7 * GIB):
        pass
    assert codes_of(check_disk(load(RANGE_CACHE_DIR=str(tmp_path)), statvfs=free_bytes(4 * GIB))) == []


def test_a_full_disk(tmp_path: Path) -> None:
    found = codes_of(check_disk(load(RANGE_CACHE_DIR=str(tmp_path)), statvfs=free_bytes(MIB)))
    assert found == ["warning disk-full", "warning disk-full"]


@pytest.mark.parametrize("below", ["", "blocks"])
def test_a_file_in_place_of_the_cache_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "cache").touch()
    folder = tmp_path / "cache" / below
    finding = only_finding(check_disk(load(RANGE_CACHE_DIR=str(folder))))
    assert (finding.code, finding.severity) == ("disk-unwritable", "broken")
    assert finding.what == f"RANGE_CACHE_DIR={folder}: {tmp_path}/cache is not a folder"


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", fail)
    found = findings_of(check_disk(load(RANGE_CACHE_DIR=str(tmp_path))))
    assert {finding.code for finding in found} == {"disk-unwritable"}
    assert found[0].what == f"RANGE_CACHE_DIR={tmp_path}: writing failed: Read-only file system"


def test_a_cache_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CacheDirectory(tmp_path).prepare()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    settings = load(RANGE_CACHE_DIR=str(tmp_path), RANGE_CACHE_MAX_BYTES=str(16 * MIB))
    assert codes_of(check_disk(settings)) == ["warning disk-cache-owner"]


def test_a_cache_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_gateway.doctor.disk.file_system_of", lambda _: "nfs4")
    settings = load(RANGE_CACHE_DIR=str(tmp_path), RANGE_CACHE_MAX_BYTES=str(16 * MIB))
    assert codes_of(check_disk(settings)) == ["warning disk-network"]


def test_the_mount_that_a_path_is_on(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    expected = {"/srv/my cache/v1": "nfs4", "/srv/fast/a": "xfs", "/srv/fastest": "ext4"}
    assert {path: file_system_of(Path(path), mounts) for path in expected} == expected
    assert is_network_file_system("fuse.sshfs")
    assert not is_network_file_system("ext4")
    assert file_system_of(Path("/"), tmp_path / "missing") is None


def test_the_cache_of_nginx(tmp_path: Path) -> None:
    given = {"EDGE_TOKEN": "t" * 32, "EDGE_CACHE_DIR": str(tmp_path), "EDGE_CACHE_MAX_BYTES": str(8 * GIB)}
    finding = only_finding(check_disk(load(**given), statvfs=free_bytes(4 * GIB)))
    assert finding.code == "disk-too-small"
    assert "EDGE_CACHE_MAX_BYTES lets the cache grow by 8.0 GiB" in finding.what
    elsewhere = load(**given | {"EDGE_CACHE_DIR": str(tmp_path / "none")})
    assert "not on this machine" in skipped_of(check_disk(elsewhere))["EDGE_CACHE_DIR"]


@pytest.mark.parametrize(("hard", "is_found"), [(1024, True), (4096, False), (resource.RLIM_INFINITY, False)])
def test_few_file_descriptors(hard: int, is_found: bool) -> None:
    found = codes_of(check_disk(load(), getrlimit=lambda _: (1024, hard)))
    assert found == (["warning disk-few-descriptors"] if is_found else [])


def test_files_of_v86(tmp_path: Path) -> None:
    settings = load(EMULATOR_V86_PATH=str(tmp_path))
    (tmp_path / "libv86.js").touch()
    finding = only_finding(check_disk(settings))
    assert finding.what == f"{tmp_path} has no v86.wasm, no seabios.bin or bios.bin"
    (tmp_path / "v86.wasm").touch()
    (tmp_path / "bios.bin").touch()
    assert codes_of(check_disk(settings)) == []


def test_programs_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    checks = list(check_jobs(load()))
    assert codes_of(checks) == []
    reason = skipped_of(checks)["programs for conversions"]
    assert reason.endswith("install the package qemu-utils, if a worker runs here")
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    assert next(check_jobs(load())).detail == "qemu-nbd, setpriv, prlimit; WORKER_CONCURRENCY=2"
