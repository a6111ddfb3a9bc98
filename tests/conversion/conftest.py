from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.disk_images import DiskImage, make_disk, make_images
from tests.support.programs import require_qemu


@pytest.fixture(scope="session")
def qemu() -> None:
    require_qemu()


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    make_disk(path)
    return path


@pytest.fixture(scope="session")
def images(qemu: None, disk: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DiskImage]:
    return make_images(tmp_path_factory.mktemp("images"), disk)


def running_children() -> list[int]:
    """The processes that this one started, by id; each has an entry in one thread's list."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile; its children are then another thread's.
        with suppress(FileNotFoundError):
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fails the test after which a process, a thread or a file still exists."""
    folder = Path(tempfile.mkdtemp(prefix="conversion-"))
    # QEMU enters it as another user.
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    processes, threads = running_children(), set(threading.enumerate())
    yield folder
    assert list(folder.iterdir()) == []
    assert running_children() == processes
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive()
    folder.rmdir()
