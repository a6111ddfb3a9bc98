"""Reads, writes, zeros and flushes, and requests that break the rules."""

from __future__ import annotations

import errno
import random
import socket
import struct

import pytest

from image_gateway.nbd import wire
from tests.nbd.conftest import SIZE, Connect
from tests.support.memory_disk import MemoryDisk
from tests.support.nbd import enter, is_closed, receive_error, send_request
from tests.support.waiting import wait_for

MAX = 32 * 1024 * 1024
FUA, NO_HOLE = wire.CMD_FLAG_FUA, wire.CMD_FLAG_NO_HOLE
READ, WRITE, FLUSH = wire.CMD_READ, wire.CMD_WRITE, wire.CMD_FLUSH
TRIM, ZERO = wire.CMD_TRIM, wire.CMD_WRITE_ZEROES


class Client:
    """A client in the transmission, for one request at a time."""

    def __init__(self, connection: socket.socket) -> None:
        enter(connection)
        self.connection = connection

    def ask(
        self, command: int, offset: int = 0, length: int | None = None, data: bytes = b"", *, flags: int = 0
    ) -> int:
        """Send a request and return the error of its answer."""
        send_request(self.connection, command, offset, length, data, flags=flags)
        return receive_error(self.connection)

    def read(self, offset: int, length: int) -> bytes:
        assert self.ask(READ, offset, length) == 0
        return bytes(wire.receive_exactly(self.connection, length))


@pytest.fixture
def client(connect: Connect) -> Client:
    return Client(connect())


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (0, 4096), (511, 8193), (SIZE - 1, 1), (SIZE - MAX, MAX), (0, MAX)]
)
def test_what_was_written_is_read(offset: int, length: int, client: Client) -> None:
    data = random.Random(length).randbytes(length)
    assert client.ask(WRITE, offset, data=data) == 0
    assert client.read(offset, length) == data


def test_zeros(client: Client) -> None:
    client.ask(WRITE, 0, data=b"x" * 8192)
    assert client.ask(ZERO, 100, 50) == 0
    assert client.ask(ZERO, 4000, SIZE - 4000, flags=NO_HOLE) == 0
    assert client.read(0, 8192) == b"x" * 100 + bytes(50) + b"x" * 3850 + bytes(4192)


def test_trim_discards_whole_blocks(client: Client) -> None:
    client.ask(WRITE, 0, data=b"x" * 5 * 4096)
    assert client.ask(TRIM, 4095, 2 * 4096) == 0
    assert client.ask(TRIM, 3 * 4096 + 1, 4095) == 0
    assert client.read(0, 5 * 4096) == b"x" * 4096 + bytes(4096) + b"x" * 3 * 4096


def test_a_flush_stores_what_was_answered_on_every_connection(
    client: Client, connect: Connect, disk: MemoryDisk
) -> None:
    others = [Client(connect()) for _ in range(3)]
    for number, other in enumerate(others):
        assert other.ask(WRITE, number, data=b"x") == 0
    assert disk.stored[:3] == bytes(3)
    assert client.ask(FLUSH) == 0
    assert disk.stored[:3] == b"xxx"


@pytest.mark.parametrize(
    ("command", "length", "data"), [(WRITE, None, bytes(4096)), (ZERO, 4096, b""), (TRIM, 4096, b"")]
)
def test_fua_flushes(command: int, length: int | None, data: bytes, client: Client, disk: MemoryDisk) -> None:
    client.ask(WRITE, 0, data=b"x" * 4096, flags=FUA)
    assert disk.stored[:4096] == b"x" * 4096
    assert client.ask(command, 0, length, data, flags=FUA) == 0
    assert disk.stored[:4096] == bytes(4096)
    assert client.read(0, 4096) == bytes(4096)


def test_requests_in_flight_are_answered_by_their_cookies(client: Client) -> None:
    client.ask(WRITE, 0, data=bytes(range(64)))
    for cookie in range(64):
        send_request(client.connection, READ, cookie, 1, cookie=cookie)
    answers = {}
    for _ in range(64):
        magic, error, cookie = struct.unpack(">IIQ", wire.receive_exactly(client.connection, 16))
        assert (magic, error) == (0x67446698, 0)
        answers[cookie] = wire.receive_exactly(client.connection, 1)[0]
    assert answers == {cookie: cookie for cookie in range(64)}


@pytest.mark.parametrize(
    ("command", "offset", "length", "flags", "error"),
    [
        (READ, 0, 0, 0, errno.EINVAL),
        (READ, 0, MAX + 1, 0, errno.EINVAL),
        (READ, SIZE, 1, 0, errno.EINVAL),
        (READ, SIZE - 1, 2, 0, errno.EINVAL),
        (READ, 2**64 - 1, 1, 0, errno.EINVAL),
        (READ, 0, 1, wire.CMD_FLAG_DF, errno.EINVAL),
        (TRIM, SIZE - 1, 2, 0, errno.EINVAL),
        (TRIM, 0, 0, 0, errno.EINVAL),
        (ZERO, SIZE - 1, 2, 0, errno.ENOSPC),
        (ZERO, 0, 2**32 - 1, 0, errno.ENOSPC),
        (ZERO, 0, 512, 16, errno.EINVAL),
        (FLUSH, 1, 0, 0, errno.EINVAL),
        (FLUSH, 0, 1, 0, errno.EINVAL),
        (5, 0, 1, 0, errno.EINVAL),
        (wire.CMD_BLOCK_STATUS, 0, 1, 0, errno.EINVAL),
        (4711, 0, 1, 0, errno.EINVAL),
    ],
)
def test_a_wrong_request_is_answered_with_an_error(
    command: int, offset: int, length: int, flags: int, error: int, client: Client, disk: MemoryDisk
) -> None:
    assert client.ask(command, offset, length, flags=flags) == error
    assert client.read(0, 512) == bytes(512)
    assert (disk.flushes, disk.unsafe_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("offset", "flags", "error"),
    [
        (SIZE, 0, errno.ENOSPC),
        (SIZE - 511, 0, errno.ENOSPC),
        (2**64 - 1, 0, errno.ENOSPC),
        (0, NO_HOLE, errno.EINVAL),
    ],
)
def test_the_data_of_a_wrong_write_is_skipped(offset: int, flags: int, error: int, client: Client) -> None:
    assert client.ask(WRITE, offset, data=b"x" * 512, flags=flags) == error
    assert client.read(0, 512) == bytes(512)
    assert client.read(SIZE - 512, 512) == bytes(512)


def test_a_write_that_is_too_long_ends_the_connection(client: Client, said: list[str]) -> None:
    send_request(client.connection, WRITE, 0, MAX + 1)
    assert is_closed(client.connection)
    wait_for(lambda: said, "the server says why")
    assert "33554432 is the most" in said[0]


def test_a_wrong_magic_number_ends_the_connection(client: Client, said: list[str]) -> None:
    client.connection.sendall(bytes(28))
    assert is_closed(client.connection)
    wait_for(lambda: said, "the server says why")
    assert "invalid request" in said[0]


def test_goodbye_is_no_complaint_and_no_flush(client: Client, said: list[str], disk: MemoryDisk) -> None:
    client.ask(WRITE, 0, data=b"x")
    send_request(client.connection, wire.CMD_DISC)
    assert is_closed(client.connection)
    assert (said, disk.flushes) == ([], 0)


def test_half_a_write_is_none(client: Client, said: list[str], disk: MemoryDisk, connect: Connect) -> None:
    send_request(client.connection, WRITE, 0, 1024, b"x" * 512)
    client.connection.close()
    wait_for(lambda: said, "the server notices")
    assert "closed" in said[0]
    assert Client(connect()).read(0, 1024) == bytes(1024)
    assert disk.unsafe_bytes == 0


@pytest.mark.parametrize(
    ("method", "command", "length", "data"),
    [
        ("read", READ, 512, b""),
        ("write", WRITE, None, b"x"),
        ("zero", ZERO, 512, b""),
        ("zero", TRIM, 4096, b""),
        ("flush", FLUSH, 0, b""),
    ],
)
def test_a_failure_of_the_disk_is_the_requests(
    method: str, command: int, length: int | None, data: bytes, client: Client, disk: MemoryDisk
) -> None:
    disk.failures[method] = OSError("the network is away")
    assert client.ask(command, 0, length, data) == errno.EIO
    del disk.failures[method]
    assert client.ask(WRITE, 0, data=b"y", flags=FUA) == 0
    assert disk.stored[:1] == b"y"


def test_a_write_with_fua_fails_with_its_flush(client: Client, disk: MemoryDisk) -> None:
    disk.failures["flush"] = OSError("the network is away")
    assert client.ask(WRITE, 0, data=b"x", flags=FUA) == errno.EIO
