"""The sockets that a server listens on."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from image_gateway.nbd.listener import NotLoopback, tcp_listener, unix_listener


def test_only_the_user_can_open_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "disk.sock"
    with unix_listener(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "disk.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with unix_listener(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_server_that_listens_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "disk.sock"
    with unix_listener(path):
        with pytest.raises(OSError, match="another server listens here"), unix_listener(path):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_no_other_file_is_replaced(make: object, tmp_path: Path) -> None:
    path = tmp_path / "disk.sock"
    make(path)  # type: ignore[operator]
    with pytest.raises(FileExistsError, match="not a socket"), unix_listener(path):
        pass
    assert path.exists()


def test_a_socket_that_took_the_name_is_left(tmp_path: Path) -> None:
    path = tmp_path / "disk.sock"
    with socket.socket(socket.AF_UNIX) as another:
        with unix_listener(path):
            path.unlink()
            another.bind(str(path))
        assert path.exists()


@pytest.mark.parametrize("folder", ["missing", "x" * 110])
def test_a_path_that_cannot_be_bound_is_named(folder: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=folder), unix_listener(tmp_path / folder / "disk.sock"):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "8.8.8.8"])
def test_addresses_of_other_interfaces_must_be_allowed(host: str) -> None:
    with pytest.raises(NotLoopback, match="other machines"), tcp_listener(host, 0, allow_remote=False):
        pass


def test_an_allowed_address() -> None:
    with tcp_listener("0.0.0.0", 0, allow_remote=True) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()
