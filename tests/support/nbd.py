"""The client's side of the NBD protocol, byte by byte, so that tests can break it."""

from __future__ import annotations

import socket
import struct

from image_gateway.nbd import wire


def greet(connection: socket.socket, flags: int = 3) -> None:
    """Receive the greeting and answer it with the client's flags."""
    assert wire.receive_exactly(connection, 18) == b"NBDMAGICIHAVEOPT\x00\x03"
    connection.sendall(struct.pack(">I", flags))


def send_option(connection: socket.socket, option: int, data: bytes = b"") -> None:
    connection.sendall(struct.pack(">8sII", b"IHAVEOPT", option, len(data)) + data)


def receive_replies(connection: socket.socket, option: int) -> list[tuple[int, bytes]]:
    """Receive replies to an option, as type and data, up to the one that is the last."""
    replies: list[tuple[int, bytes]] = []
    while not replies or (replies[-1][0] != wire.REP_ACK and not replies[-1][0] & wire.REP_ERROR):
        magic, echoed, kind, length = struct.unpack(">QIII", wire.receive_exactly(connection, 20))
        assert (magic, echoed) == (0x3E889045565A9, option)
        replies.append((kind, bytes(wire.receive_exactly(connection, length))))
    return replies


def go_data(name: bytes = b"", requests: tuple[int, ...] = ()) -> bytes:
    """Return the data of OPT_GO and OPT_INFO."""
    return struct.pack(f">I{len(name)}sH{len(requests)}H", len(name), name, len(requests), *requests)


def enter(connection: socket.socket) -> None:
    """Negotiate up to the transmission."""
    greet(connection)
    send_option(connection, wire.OPT_GO, go_data())
    assert receive_replies(connection, wire.OPT_GO)[-1][0] == wire.REP_ACK


def send_request(
    connection: socket.socket,
    command: int,
    offset: int = 0,
    length: int | None = None,
    data: bytes = b"",
    *,
    flags: int = 0,
    cookie: int = 7,
) -> None:
    head = struct.pack(
        ">IHHQQI", 0x25609513, flags, command, cookie, offset, len(data) if length is None else length
    )
    connection.sendall(head + data)


def receive_error(connection: socket.socket, cookie: int = 7) -> int:
    """Receive the head of a reply and return its error."""
    magic, error, echoed = struct.unpack(">IIQ", wire.receive_exactly(connection, 16))
    assert (magic, echoed) == (0x67446698, cookie)
    return int(error)


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes the connection, and return whether it sent nothing before."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
