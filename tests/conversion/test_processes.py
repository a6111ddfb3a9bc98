"""QEMU has no privileges, sees one object, and does not outlive who started it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from image_gateway.conversion.disk_reader import QemuLimits, open_disk
from image_gateway.protocol.formats import DiskFormat
from tests.conversion.conftest import running_children
from tests.support.disk_images import DiskImage, MemoryObject

pytestmark = pytest.mark.thorough

STARTER = """
import sys, tempfile
from pathlib import Path
from image_gateway.conversion.disk_reader import open_disk
from image_gateway.protocol.formats import DiskFormat
from tests.conversion.conftest import running_children
from tests.support.disk_images import MemoryObject

tempfile.tempdir = sys.argv[2]
with open_disk(MemoryObject(Path(sys.argv[1]).read_bytes()), DiskFormat.QCOW2) as reader:
    print(*running_children(), flush=True)
    sys.stdin.read()
"""


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for its parent to notice."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not has_ended(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def qemu_status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_qemu_has_no_privileges(images: dict[str, DiskImage]) -> None:
    limits = QemuLimits(cpu_seconds=77, open_files=55, address_space_bytes=1 << 30)
    before = running_children()
    with open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2, limits):
        (pid,) = set(running_children()) - set(before)
        status = qemu_status(pid)
        assert status["Name"].startswith("qemu-nbd")
        assert status["NoNewPrivs"] == "1"
        users = {int(user) for user in status["Uid"].split()}
        assert users == ({65534} if os.geteuid() == 0 else {os.geteuid()})
        assert int(status["CapEff"], 16) == 0
        limited = Path(f"/proc/{pid}/limits").read_text()
        for name, limit in [
            ("cpu time", 77),
            ("open files", 55),
            ("address space", 1 << 30),
            ("file size", 0),
        ]:
            assert re.search(rf"Max {name} +{limit} +{limit} ", limited)


def test_qemu_is_told_nothing_but_its_sockets(images: dict[str, DiskImage]) -> None:
    before = running_children()
    with open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2):
        (pid,) = set(running_children()) - set(before)
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert '"driver": "qcow2"' in command
        assert "http" not in command
        files = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        assert [name for name in files if name.startswith("/") and name != "/dev/null"] == []
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_the_folder_of_the_socket_is_private(
    images: dict[str, DiskImage], nothing_is_left_behind: Path
) -> None:
    with open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2):
        (folder,) = nothing_is_left_behind.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_qemu_dies_with_its_process(
    number: int, images: dict[str, DiskImage], tmp_path: Path, nothing_is_left_behind: Path
) -> None:
    folder = nothing_is_left_behind / "other"
    folder.mkdir()
    folder.chmod(0o755)
    child = subprocess.Popen(
        [sys.executable, "-c", STARTER, images["qcow2"].path, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with child:
        assert child.stdout is not None
        (qemu,) = map(int, child.stdout.readline().split())
        assert not has_ended(qemu)
        child.send_signal(number)
        child.wait(30)
        wait_for_end(qemu)
    # A killed process cannot remove its folder.
    for left in folder.iterdir():
        assert [path.name for path in left.iterdir()] in ([], ["disk.sock"])
        (left / "disk.sock").unlink(missing_ok=True)
        left.rmdir()
    folder.rmdir()


def test_many_disks_at_once(images: dict[str, DiskImage]) -> None:
    with (
        open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2) as one,
        open_disk(MemoryObject(images["VDI dynamic"].data), DiskFormat.VDI) as other,
    ):
        assert one.read(0, 100_000) == other.read(0, 100_000)


def test_an_exception_within_the_context(images: dict[str, DiskImage]) -> None:
    with pytest.raises(KeyError), open_disk(MemoryObject(images["qcow2"].data), DiskFormat.QCOW2):
        raise KeyError
