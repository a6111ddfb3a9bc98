"""A read-only NBD server of one object for one client, QEMU, over one connected socket."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from image_gateway.conversion import nbd
from image_gateway.conversion.cached_object import CachedObject

MAX_READ_BYTES = 4 * 1024 * 1024
PREFERRED_BLOCK = 64 * 1024
THREADS = 8
# QEMU has at most 16 requests in flight.
MAX_WAITING = 16
HANDSHAKE_SECONDS = 30


class ObjectServer:
    """Answers QEMU's reads of an object in threads, and keeps what went wrong.

    The object may be served as larger than it is: a read beyond its end then fails and is remembered, where
    QEMU would otherwise take what a truncated file lacks for zeros.

    Attributes:
        failure: The first exception of the object since `take_failure`.
        read_beyond_end: The end of the first read that the object is too short for, or None.
    """

    def __init__(self, source: CachedObject, connection: socket.socket, *, served_size: int) -> None:
        self._source = source
        self._connection = connection
        self._served_size = served_size
        self._send_lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="object-read")
        self._thread = threading.Thread(target=self._serve, name="object-server", daemon=True)
        self.failure: BaseException | None = None
        self.read_beyond_end: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection; reads of the object that are running end by themselves."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(HANDSHAKE_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connection.close()

    def take_failure(self) -> BaseException | None:
        """Return the object's exception and forget it, so that a later read can succeed."""
        failure, self.failure = self.failure, None
        return failure

    def _serve(self) -> None:
        # RuntimeError: the pool was shut down.
        with contextlib.suppress(nbd.NbdError, OSError, RuntimeError):
            self._connection.settimeout(HANDSHAKE_SECONDS)
            if self._negotiate():
                self._connection.settimeout(None)
                while self._take_request():
                    pass
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _negotiate(self) -> bool:
        """Offer the object; returns False when the client leaves."""
        flags = nbd.FLAG_FIXED_NEWSTYLE | nbd.FLAG_NO_ZEROES
        self._connection.sendall(nbd.NBDMAGIC + nbd.IHAVEOPT + struct.pack(">H", flags))
        nbd.receive_exactly(self._connection, 4)
        while True:
            magic, option, length = nbd.OPTION.unpack(nbd.receive_exactly(self._connection, nbd.OPTION.size))
            if magic != nbd.IHAVEOPT or length > nbd.MAX_OPTION_BYTES:
                raise nbd.NbdError("the client sent an invalid option")
            nbd.receive_exactly(self._connection, length)
            if option == nbd.OPT_GO:
                flags = nbd.FLAG_HAS_FLAGS | nbd.FLAG_READ_ONLY
                export = struct.pack(">HQH", nbd.INFO_EXPORT, self._served_size, flags)
                sizes = struct.pack(">HIII", nbd.INFO_BLOCK_SIZE, 1, PREFERRED_BLOCK, MAX_READ_BYTES)
                self._reply_to_option(option, nbd.REP_INFO, export)
                self._reply_to_option(option, nbd.REP_INFO, sizes)
                self._reply_to_option(option, nbd.REP_ACK)
                return True
            if option == nbd.OPT_ABORT:
                return False
            self._reply_to_option(option, nbd.REP_ERR_UNSUP)

    def _reply_to_option(self, option: int, kind: int, data: bytes = b"") -> None:
        head = nbd.OPTION_REPLY.pack(nbd.OPTION_REPLY_MAGIC, option, kind, len(data))
        self._connection.sendall(head + data)

    def _take_request(self) -> bool:
        """Start to answer the next request; returns False when the client leaves."""
        request = nbd.receive_exactly(self._connection, nbd.REQUEST.size)
        magic, _, command, cookie, offset, length = nbd.REQUEST.unpack(request)
        if magic != nbd.REQUEST_MAGIC or command == nbd.CMD_DISC:
            return False
        if command != nbd.CMD_READ or not 0 < length <= MAX_READ_BYTES:
            self._reply(cookie, nbd.EINVAL)
            return True
        self._waiting.acquire()
        self._pool.submit(self._answer, cookie, offset, offset + length)
        return True

    def _answer(self, cookie: int, start: int, end: int) -> None:
        try:
            if end > self._source.size:
                self.read_beyond_end = self.read_beyond_end or end
                self._reply(cookie, nbd.EIO)
                return
            try:
                data = self._source.read(start, end)
            except BaseException as error:  # noqa: BLE001  # raised to the reader of the disk
                self.failure = self.failure or error
                self._reply(cookie, nbd.EIO)
                return
            self._reply(cookie, 0, data)
        finally:
            self._waiting.release()

    def _reply(self, cookie: int, error: int, data: bytes = b"") -> None:
        head = nbd.SIMPLE_REPLY.pack(nbd.SIMPLE_REPLY_MAGIC, error, cookie)
        with self._send_lock, contextlib.suppress(OSError):
            self._connection.sendall(head + data)
