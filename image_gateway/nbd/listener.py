"""Sockets on which an NBD server listens."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BACKLOG = 16


class NotLoopback(ValueError):
    """The address can be reached from other machines."""


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """Listen on a socket that only this user can open, and remove it at the end.

    A socket that a killed server left behind is replaced.

    Raises:
        OSError: There is another file of this name, or a server that listens.
    """
    _remove_left_behind(path)
    with socket.socket(socket.AF_UNIX) as listener:
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            # "AF_UNIX path too long" has neither a number nor a name.
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        finally:
            os.umask(mask)
        made = path.stat()
        try:
            listener.listen(BACKLOG)
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(made, path.stat()):
                    path.unlink()


def _remove_left_behind(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(errno.EEXIST, "not a socket, and not replaced", str(path))
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another server listens here", str(path))


@contextmanager
def tcp_listener(host: str, port: int, *, allow_remote: bool) -> Iterator[socket.socket]:
    """Listen on an address; port 0 is any free one.

    Raises:
        NotLoopback: The address is not of this machine's loopback, and `allow_remote` is false.
        OSError: The address is unknown or in use.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if not allow_remote and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise NotLoopback(f"{host} can be reached from other machines")
    with socket.create_server(address[:2], family=family, backlog=BACKLOG) as listener:
        yield listener
