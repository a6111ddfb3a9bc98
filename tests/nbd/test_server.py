"""Clients that come, go, are too many or slow, and the end of the server."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path

import pytest

from image_gateway.nbd import server, wire
from image_gateway.nbd.disk_commands import DiskCommands, export_of
from image_gateway.nbd.listener import tcp_listener, unix_listener
from image_gateway.nbd.server import MAX_CONNECTIONS, NbdServer
from tests.nbd.conftest import SECONDS, Connect
from tests.support.background import in_background
from tests.support.memory_disk import MemoryDisk
from tests.support.nbd import enter, is_closed, receive_error, send_request
from tests.support.waiting import wait_for


class SlowDisk(MemoryDisk):
    """Reads begin, and wait until they may end."""

    def __init__(self) -> None:
        super().__init__(1024 * 1024)
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()

    def read(self, offset: int, length: int) -> bytes:
        self.begun.release()
        assert self.may_end.wait(SECONDS)
        return super().read(offset, length)


def serving(disk: MemoryDisk, listener: socket.socket, said: list[str]) -> NbdServer:
    commands = DiskCommands(disk, lambda error: errno.EIO)
    return NbdServer(listener, export_of(disk, ""), commands, say=said.append)


def connected_to(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(SECONDS)
    client.connect(str(path))
    enter(client)
    return client


def test_clients_above_the_limit_are_disconnected(connect: Connect, said: list[str]) -> None:
    clients = [connect() for _ in range(MAX_CONNECTIONS)]
    for client in clients:
        enter(client)
    assert is_closed(connect())
    assert "16 are connected" in said[0]
    clients[0].close()

    def is_accepted() -> bool:
        another = connect()
        return another.recv(1) == b"N"

    wait_for(is_accepted, "another client is accepted")


def test_a_client_that_leaves_without_goodbye_is_no_complaint(connect: Connect, said: list[str]) -> None:
    for _ in range(2 * MAX_CONNECTIONS):
        client = connect()
        enter(client)
        client.close()
        wait_for(lambda: not threads_named("nbd-client"), "the server notices")
    assert said == []


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_a_slow_read_does_not_hold_up_others(tmp_path: Path, said: list[str]) -> None:
    disk, path = SlowDisk(), tmp_path / "disk.sock"
    with unix_listener(path) as listener, serving(disk, listener, said), connected_to(path) as client:
        send_request(client, wire.CMD_READ, 0, 1, cookie=1)
        assert disk.begun.acquire(timeout=SECONDS)
        send_request(client, wire.CMD_WRITE, 5, data=b"x", cookie=2)
        assert receive_error(client, 2) == 0
        disk.may_end.set()
        assert receive_error(client, 1) == 0


def test_what_was_received_is_answered_at_the_end(tmp_path: Path, said: list[str]) -> None:
    disk, path = SlowDisk(), tmp_path / "disk.sock"
    with unix_listener(path) as listener:
        running = serving(disk, listener, said).__enter__()
        with connected_to(path) as client:
            send_request(client, wire.CMD_READ, 0, 4)
            assert disk.begun.acquire(timeout=SECONDS)
            ended = in_background(running.__exit__, None, None, None)
            wait_for(lambda: not threads_named("nbd-accept"), "the server accepts no more clients")
            disk.may_end.set()
            assert receive_error(client) == 0
            assert wire.receive_exactly(client, 4) == bytes(4)
            assert is_closed(client)
        ended.result(SECONDS)
    assert said == []


def test_a_disk_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 0.1)
    disk, path = SlowDisk(), tmp_path / "disk.sock"
    with unix_listener(path) as listener:
        running = serving(disk, listener, said).__enter__()
        with connected_to(path) as client:
            send_request(client, wire.CMD_READ, 0, 4)
            assert disk.begun.acquire(timeout=SECONDS)
            in_background(running.__exit__, None, None, None).result(SECONDS)
            assert is_closed(client)
    disk.may_end.set()


def test_a_client_that_takes_no_answers_does_not_hold_up_the_end(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 0.1)
    disk, path = MemoryDisk(32 * 1024 * 1024), tmp_path / "disk.sock"
    with unix_listener(path) as listener:
        running = serving(disk, listener, said).__enter__()
        with connected_to(path) as client:
            send_request(client, wire.CMD_READ, 0, disk.size)
            assert receive_error(client) == 0
            in_background(running.__exit__, None, None, None).result(SECONDS)
    wait_for(lambda: not threads_named("nbd-"), "all threads end")


def test_tcp(disk: MemoryDisk, said: list[str]) -> None:
    with (
        tcp_listener("127.0.0.1", 0, allow_remote=False) as listener,
        serving(disk, listener, said),
        socket.create_connection(listener.getsockname(), SECONDS) as client,
    ):
        enter(client)
        send_request(client, wire.CMD_WRITE, 0, data=b"x" * 4096, flags=wire.CMD_FLAG_FUA)
        assert receive_error(client) == 0
    assert disk.stored[:4096] == b"x" * 4096
