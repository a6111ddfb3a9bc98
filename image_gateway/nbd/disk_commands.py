"""What the commands of NBD do to a writable disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from image_gateway.nbd import wire
from image_gateway.nbd.connection import CommandFailed, Request
from image_gateway.nbd.handshake import Export

MAX_PAYLOAD = 32 * 1024 * 1024
# A flush on one connection covers the writes of all: there is one disk behind them.
_FLAGS = (
    wire.FLAG_SEND_FLUSH
    | wire.FLAG_SEND_FUA
    | wire.FLAG_SEND_TRIM
    | wire.FLAG_SEND_WRITE_ZEROES
    | wire.FLAG_CAN_MULTI_CONN
)
_MIN_PREFERRED_BLOCK = 512


class WritableDisk(Protocol):
    """A disk that several threads may use at the same time; its methods may raise any exception.

    Attributes:
        size: In bytes.
        block_size: In bytes, a power of two; other writes work, but cost more.
    """

    @property
    def size(self) -> int: ...

    @property
    def block_size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def zero(self, offset: int, length: int) -> None: ...

    def flush(self) -> None:
        """Return when everything that was written before the call is stored durably."""
        ...


def export_of(disk: WritableDisk, name: str) -> Export:
    """Return what a server offers of a disk, by this name and by the empty one."""
    return Export(disk.size, _FLAGS, max(disk.block_size, _MIN_PREFERRED_BLOCK), MAX_PAYLOAD, name)


class DiskCommands:
    """Answers requests by a disk.

    Args:
        errno_of: Called with the exception of a disk's method, returns the error to answer with.
    """

    def __init__(self, disk: WritableDisk, errno_of: Callable[[Exception], int]) -> None:
        self._disk, self._errno_of = disk, errno_of

    def __call__(self, request: Request) -> bytes:
        """Execute a request and return the bytes that it reads; raises CommandFailed."""
        _check(request, self._disk.size)
        try:
            data = self._execute(request)
            if request.flags & wire.CMD_FLAG_FUA and request.command != wire.CMD_READ:
                self._disk.flush()
        except Exception as error:
            raise CommandFailed(self._errno_of(error)) from error
        return data

    def _execute(self, request: Request) -> bytes:
        if request.command == wire.CMD_READ:
            return self._disk.read(request.offset, request.length)
        if request.command == wire.CMD_WRITE:
            self._disk.write(request.offset, request.data)
        elif request.command == wire.CMD_WRITE_ZEROES:
            self._disk.zero(request.offset, request.length)
        elif request.command == wire.CMD_TRIM:
            self._trim(request.offset, request.offset + request.length)
        else:
            self._disk.flush()
        return b""

    def _trim(self, start: int, end: int) -> None:
        """Discard the whole blocks of a range; a part of one would have to be read and written anew."""
        block = self._disk.block_size
        first, last = -(-start // block) * block, end // block * block
        if first < last:
            self._disk.zero(first, last - first)


# NO_HOLE demands that later writes need no further space; every write of a disk of commits needs some.
_KNOWN_FLAGS = {
    wire.CMD_READ: wire.CMD_FLAG_FUA,
    wire.CMD_WRITE: wire.CMD_FLAG_FUA,
    wire.CMD_TRIM: wire.CMD_FLAG_FUA,
    wire.CMD_WRITE_ZEROES: wire.CMD_FLAG_FUA | wire.CMD_FLAG_NO_HOLE,
    wire.CMD_FLUSH: wire.CMD_FLAG_FUA,
}


def _check(request: Request, size: int) -> None:
    """Raise CommandFailed for a command, a flag or a range that was not offered."""
    if request.command not in _KNOWN_FLAGS or request.flags & ~_KNOWN_FLAGS[request.command]:
        raise CommandFailed(wire.EINVAL)
    if request.command == wire.CMD_FLUSH:
        if request.offset or request.length:
            raise CommandFailed(wire.EINVAL)
        return
    if request.length == 0 or (request.command == wire.CMD_READ and request.length > MAX_PAYLOAD):
        raise CommandFailed(wire.EINVAL)
    if request.offset + request.length > size:
        is_write = request.command in (wire.CMD_WRITE, wire.CMD_WRITE_ZEROES)
        raise CommandFailed(wire.ENOSPC if is_write else wire.EINVAL)
