"""The server as the programs see it that people use."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

from tests.nbd.conftest import SIZE
from tests.support.memory_disk import MemoryDisk
from tests.support.programs import require_programs

MIB = 1024 * 1024


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nbdinfo(path: Path) -> None:
    require_programs("nbdinfo")
    (export,) = json.loads(run("nbdinfo", "--json", f"nbd+unix:///?socket={path}"))["exports"]
    assert export["export-size"] == SIZE
    assert (export["block_size_minimum"], export["block_size_preferred"]) == (1, 4096)
    assert export["block_size_maximum"] == 32 * MIB
    can = {name for name, value in export.items() if name.startswith("can_") and value}
    assert can == {"can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero"}
    listed = json.loads(run("nbdinfo", "--json", "--list", f"nbd+unix:///?socket={path}"))
    assert [item["export-name"] for item in listed["exports"]] == ["delta-1"]


def test_nbdcopy_with_several_connections(path: Path, disk: MemoryDisk, tmp_path: Path) -> None:
    require_programs("nbdcopy")
    source, target = tmp_path / "source.img", tmp_path / "target.img"
    with source.open("wb") as file:
        for start in range(0, SIZE, 16 * MIB):
            file.seek(start)
            file.write(random.Random(start).randbytes(3 * MIB + 512))
        file.truncate(SIZE)
    disk.write(SIZE - 4096, b"x" * 4096)
    run("nbdcopy", "--connections=4", "--flush", source, f"nbd+unix:///?socket={path}")
    assert disk.stored == source.read_bytes()
    run("nbdcopy", "--connections=4", f"nbd+unix:///?socket={path}", target)
    assert target.read_bytes() == disk.stored


def test_qemu_io(path: Path, disk: MemoryDisk) -> None:
    require_programs("qemu-io")
    steps = ["write -P 0x11 1k 1M", "write -f -P 0x22 63M 1M", "write -z 512k 64k", "discard 0 256k", "flush"]
    steps += ["read -P 0x22 63M 1M", "read -P 0 512k 64k", "read -P 0x11 1M 1k", "read -P 0 0 256k"]
    commands = [argument for step in steps for argument in ("-c", step)]
    out = run("qemu-io", "-f", "raw", *commands, f"nbd+unix:///delta-1?socket={path}")
    assert "verification failed" not in out
    expected = bytearray(SIZE)
    expected[1024 : 1024 + MIB] = b"\x11" * MIB
    expected[63 * MIB :] = b"\x22" * MIB
    expected[512 * 1024 : 576 * 1024] = bytes(64 * 1024)
    expected[: 256 * 1024] = bytes(256 * 1024)
    assert disk.stored == bytes(expected)


def test_qemu_img_compares(path: Path, disk: MemoryDisk, tmp_path: Path) -> None:
    require_programs("qemu-img")
    source = tmp_path / "source.img"
    source.write_bytes(os.urandom(4 * MIB) + bytes(SIZE - 4 * MIB))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, f"nbd+unix:///?socket={path}")
    assert disk.stored == source.read_bytes()
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, f"nbd+unix:///?socket={path}")
