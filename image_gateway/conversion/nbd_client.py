"""An NBD client for the disk that qemu-nbd exports: its size, which ranges are zeros, and its bytes."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from image_gateway.conversion.object_source import Extent
from image_gateway.nbd import wire

_CONTEXT = b"base:allocation"
SECTOR = 512
REQUEST_BYTES = 2 * 1024 * 1024
STATUS_BYTES = 1024 * 1024 * 1024
IN_FLIGHT = 8
_MAX_REPLY_BYTES = 4 * 1024 * 1024


class NbdReadError(Exception):
    """The server answered a request with an error; `errno` is NBD's."""

    def __init__(self, start: int, end: int, errno: int) -> None:
        super().__init__(f"reading bytes {start} to {end} failed with error {errno}")
        self.start, self.end, self.errno = start, end, errno


@dataclass(frozen=True)
class _Request:
    """A range of the disk that was asked for; `target` is where the bytes of a read go."""

    start: int
    end: int
    target: memoryview | None = None


class NbdClient:
    """A connection to the default export of an NBD server; for one thread at a time.

    Every method raises NbdError when the server breaks the protocol or is gone, and TimeoutError when it
    sends nothing within the socket's timeout. Neither leaves a connection that can be used again.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._cookie = 0
        self._errors: dict[int, int] = {}
        self.size = self._negotiate()

    def close(self) -> None:
        """Say goodbye, if that is possible at once, and close the connection."""
        self._connection.setblocking(False)
        try:
            self._send(wire.CMD_DISC, 0, 0)
        except OSError:
            pass
        finally:
            self._connection.close()

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of a range of whole sectors; raises NbdReadError."""
        data = bytearray(end - start)
        requests: deque[_Request] = deque()
        with memoryview(data) as view:
            for at in range(start, end, REQUEST_BYTES):
                stop = min(at + REQUEST_BYTES, end)
                requests.append(_Request(at, stop, view[at - start : stop - start]))
            self._read_all(requests)
        return bytes(data)

    def block_status(self, start: int, end: int) -> Iterator[Extent]:
        """Yield what the server says of a range of whole sectors, in order; raises NbdReadError."""
        while start < end:
            stop = min(start + STATUS_BYTES, end)
            request = _Request(start, stop)
            cookie = self._send(wire.CMD_BLOCK_STATUS, start, stop - start)
            found: list[tuple[int, int]] = []
            self._receive_reply({cookie: request}, found)
            self._raise_error({cookie: request})
            if not found:
                raise wire.NbdError("the server described no block")
            for length, state in found:
                if start >= stop or length == 0:
                    break
                yield Extent(start, min(start + length, stop), bool(state & wire.STATE_ZERO))
                start = min(start + length, stop)

    def _read_all(self, requests: deque[_Request]) -> None:
        """Have several requests in flight; after an error the replies to those are still received."""
        sent: dict[int, _Request] = {}
        waiting: dict[int, _Request] = {}
        while requests or waiting:
            while requests and len(waiting) < IN_FLIGHT and not self._errors:
                request = requests.popleft()
                cookie = self._send(wire.CMD_READ, request.start, request.end - request.start)
                sent[cookie] = waiting[cookie] = request
            if not waiting:
                break
            del waiting[self._receive_reply(waiting, [])]
        self._raise_error(sent)

    def _raise_error(self, requests: dict[int, _Request]) -> None:
        if self._errors:
            cookie = min(self._errors)
            request, errno = requests[cookie], self._errors[cookie]
            self._errors = {}
            raise NbdReadError(request.start, request.end, errno)

    def _send(self, command: int, offset: int, length: int) -> int:
        """Send a request and return its cookie."""
        self._cookie += 1
        # QEMU closes the connection when a reply that it sends in fragments fails.
        flags = wire.CMD_FLAG_DF if command == wire.CMD_READ else 0
        self._connection.sendall(
            wire.REQUEST.pack(wire.REQUEST_MAGIC, flags, command, self._cookie, offset, length)
        )
        return self._cookie

    def _receive_reply(self, waiting: dict[int, _Request], found: list[tuple[int, int]]) -> int:
        """Receive chunks until one is the last of its reply, and return that reply's cookie."""
        while True:
            (magic,) = struct.unpack(">I", self._receive(4))
            if magic != wire.STRUCTURED_REPLY_MAGIC:
                raise wire.NbdError("the server sent a reply that is not structured")
            flags, kind, cookie, length = wire.STRUCTURED_REPLY.unpack(
                self._receive(wire.STRUCTURED_REPLY.size)
            )
            if cookie not in waiting or length > _MAX_REPLY_BYTES:
                raise wire.NbdError("the server sent a reply to no request, or one that is too long")
            self._receive_chunk(kind, cookie, length, waiting[cookie], found)
            if flags & wire.REPLY_FLAG_DONE:
                return int(cookie)

    def _receive_chunk(
        self, kind: int, cookie: int, length: int, request: _Request, found: list[tuple[int, int]]
    ) -> None:
        if kind == wire.REPLY_OFFSET_DATA and length > 8:
            (offset,) = struct.unpack(">Q", self._receive(8))
            wire.receive_into(self._connection, self._target(request, offset, length - 8))
            return
        payload = self._receive(length)
        if kind == wire.REPLY_OFFSET_HOLE and length == 12:
            # The target has zeros already.
            self._target(request, *struct.unpack(">QI", payload))
        elif kind == wire.REPLY_BLOCK_STATUS and length % 8 == 4:
            found += struct.iter_unpack(">II", payload[4:])
        elif kind & wire.REPLY_ERROR and length >= 4:
            (self._errors[cookie],) = struct.unpack_from(">I", payload)
        elif kind or length:
            raise wire.NbdError(f"the server sent a chunk of the unknown type {kind}")

    @staticmethod
    def _target(request: _Request, offset: int, length: int) -> memoryview:
        if request.target is None or offset < request.start or offset + length > request.end:
            raise wire.NbdError("the server sent bytes that were not asked for")
        return request.target[offset - request.start : offset - request.start + length]

    def _negotiate(self) -> int:
        """Ask for structured replies and allocation, enter the transmission and return the size in bytes."""
        magic, option_magic, flags = struct.unpack(">8s8sH", self._receive(18))
        if (magic, option_magic) != (wire.NBDMAGIC, wire.IHAVEOPT) or not flags & wire.FLAG_FIXED_NEWSTYLE:
            raise wire.NbdError("the server does not speak the fixed newstyle negotiation")
        self._connection.sendall(struct.pack(">I", flags & (wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES)))
        self._ask_option(wire.OPT_STRUCTURED_REPLY, b"")
        query = struct.pack(">III", 0, 1, len(_CONTEXT)) + _CONTEXT
        if wire.REP_META_CONTEXT not in self._ask_option(wire.OPT_SET_META_CONTEXT, query):
            raise wire.NbdError("the server does not say which blocks are allocated")
        export = self._ask_option(wire.OPT_GO, struct.pack(">IH", 0, 0)).get(wire.REP_INFO, b"")
        if len(export) != 12:
            raise wire.NbdError("the server did not describe its export")
        _, size, _ = struct.unpack(">HQH", export)
        return int(size)

    def _ask_option(self, option: int, data: bytes) -> dict[int, bytes]:
        """Send an option and return the data of its replies by type; of INFO only that of the export."""
        self._connection.sendall(wire.OPTION.pack(wire.IHAVEOPT, option, len(data)) + data)
        replies: dict[int, bytes] = {}
        while wire.REP_ACK not in replies:
            magic, echoed, kind, length = wire.OPTION_REPLY.unpack(self._receive(wire.OPTION_REPLY.size))
            if magic != wire.OPTION_REPLY_MAGIC or echoed != option or length > wire.MAX_OPTION_BYTES:
                raise wire.NbdError("the server sent an invalid reply to an option")
            payload = bytes(self._receive(length))
            if kind & wire.REP_ERROR:
                raise wire.NbdError(f"the server refused option {option}: {payload[:200]!r}")
            if kind != wire.REP_INFO or payload[:2] == struct.pack(">H", wire.INFO_EXPORT):
                replies[kind] = payload
        return replies

    def _receive(self, length: int) -> bytearray:
        return wire.receive_exactly(self._connection, length)
