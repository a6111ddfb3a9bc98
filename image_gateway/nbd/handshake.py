"""The server's side of the fixed newstyle negotiation."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from image_gateway.nbd import wire

# A client needs fewer than ten.
MAX_OPTIONS = 64


@dataclass(frozen=True)
class Export:
    """What a server offers to its clients.

    Attributes:
        size: In bytes.
        flags: Transmission flags beside HAS_FLAGS.
        preferred_block: Size in bytes that requests should have and be aligned to; they need not.
        max_payload: Most bytes that one request reads or writes.
        name: The export's name, by which LIST shows it; the empty name means it, too.
    """

    size: int
    flags: int
    preferred_block: int
    max_payload: int
    name: str = ""

    def is_named(self, name: bytes) -> bool:
        """Return whether a client that asks for `name` gets this export."""
        return name in (b"", self.name.encode())


def negotiate(connection: socket.socket, export: Export) -> bool:
    """Offer the export until the client enters the transmission; returns False when it leaves.

    Raises:
        wire.NbdError: The client broke the protocol, or closed the connection.
        OSError: The connection failed, or timed out.
    """
    flags = wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES
    connection.sendall(wire.NBDMAGIC + wire.IHAVEOPT + struct.pack(">H", flags))
    (client_flags,) = struct.unpack(">I", wire.receive_exactly(connection, 4))
    if client_flags & ~flags:
        raise wire.NbdError("the client sent unknown flags")
    for _ in range(MAX_OPTIONS):
        option, data = _receive_option(connection)
        if option == wire.OPT_EXPORT_NAME:
            return _enter_by_name(connection, export, data, bool(client_flags & wire.FLAG_NO_ZEROES))
        if option == wire.OPT_ABORT:
            _reply(connection, option, wire.REP_ACK)
            return False
        if option in (wire.OPT_GO, wire.OPT_INFO):
            if _describe(connection, export, option, data) and option == wire.OPT_GO:
                return True
        elif option == wire.OPT_LIST:
            _list(connection, export, data)
        else:
            _reply(connection, option, wire.REP_ERR_UNSUP)
    raise wire.NbdError("the client sent too many options")


def _receive_option(connection: socket.socket) -> tuple[int, bytes]:
    magic, option, length = wire.OPTION.unpack(wire.receive_exactly(connection, wire.OPTION.size))
    if magic != wire.IHAVEOPT or length > wire.MAX_OPTION_BYTES:
        raise wire.NbdError("the client sent an invalid option")
    return option, bytes(wire.receive_exactly(connection, length))


def _enter_by_name(connection: socket.socket, export: Export, name: bytes, without_zeroes: bool) -> bool:
    """Enter the transmission as OPT_EXPORT_NAME does, which knows no errors."""
    if not export.is_named(name):
        raise wire.NbdError("the client asked for an unknown export")
    zeroes = b"" if without_zeroes else bytes(124)
    connection.sendall(struct.pack(">QH", export.size, wire.FLAG_HAS_FLAGS | export.flags) + zeroes)
    return True


def _describe(connection: socket.socket, export: Export, option: int, data: bytes) -> bool:
    """Answer OPT_INFO or OPT_GO; returns whether that succeeded."""
    name = _name_in(data)
    if name is None:
        _reply(connection, option, wire.REP_ERR_INVALID)
        return False
    if not export.is_named(name):
        _reply(connection, option, wire.REP_ERR_UNKNOWN)
        return False
    flags = wire.FLAG_HAS_FLAGS | export.flags
    facts = struct.pack(">HQH", wire.INFO_EXPORT, export.size, flags)
    sizes = struct.pack(">HIII", wire.INFO_BLOCK_SIZE, 1, export.preferred_block, export.max_payload)
    _reply(connection, option, wire.REP_INFO, facts)
    _reply(connection, option, wire.REP_INFO, sizes)
    _reply(connection, option, wire.REP_ACK)
    return True


def _name_in(data: bytes) -> bytes | None:
    """Return the name in the data of OPT_INFO or OPT_GO: name and information requests, each counted."""
    if len(data) < 6:
        return None
    (length,) = struct.unpack_from(">I", data)
    if length > wire.MAX_NAME_BYTES or length > len(data) - 6:
        return None
    (requests,) = struct.unpack_from(">H", data, 4 + length)
    return data[4 : 4 + length] if len(data) == 6 + length + 2 * requests else None


def _list(connection: socket.socket, export: Export, data: bytes) -> None:
    if data:
        _reply(connection, wire.OPT_LIST, wire.REP_ERR_INVALID)
        return
    name = export.name.encode()
    _reply(connection, wire.OPT_LIST, wire.REP_SERVER, struct.pack(">I", len(name)) + name)
    _reply(connection, wire.OPT_LIST, wire.REP_ACK)


def _reply(connection: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    connection.sendall(wire.OPTION_REPLY.pack(wire.OPTION_REPLY_MAGIC, option, kind, len(data)) + data)
