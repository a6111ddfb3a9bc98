from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from image_gateway.nbd.disk_commands import DiskCommands, export_of
from image_gateway.nbd.listener import unix_listener
from image_gateway.nbd.server import NbdServer
from tests.support.memory_disk import MemoryDisk

SIZE = 64 * 1024 * 1024
SECONDS = 20

Connect = Callable[[], socket.socket]


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk(SIZE)


@pytest.fixture
def said() -> list[str]:
    """What the server says of its clients."""
    return []


@pytest.fixture
def path(disk: MemoryDisk, said: list[str], tmp_path: Path) -> Iterator[Path]:
    """The socket of a running server."""
    path = tmp_path / "disk.sock"
    commands = DiskCommands(disk, lambda error: errno.EIO)
    with (
        unix_listener(path) as listener,
        NbdServer(listener, export_of(disk, "delta-1"), commands, say=said.append),
    ):
        yield path


@pytest.fixture
def connect(path: Path) -> Iterator[Connect]:
    """Opens connections that end with the test."""
    with ExitStack() as opened:

        def connect() -> socket.socket:
            connection = opened.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            return connection

        yield connect
