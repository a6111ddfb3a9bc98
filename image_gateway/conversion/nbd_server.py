"""A read-only NBD server of one object for one client, QEMU, over one connected socket."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from image_gateway.conversion.cached_object import CachedObject
from image_gateway.nbd import wire
from image_gateway.nbd.connection import CommandFailed, Connection, Request
from image_gateway.nbd.handshake import Export

MAX_READ_BYTES = 4 * 1024 * 1024
PREFERRED_BLOCK = 64 * 1024
THREADS = 8


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
        export = Export(served_size, wire.FLAG_READ_ONLY, PREFERRED_BLOCK, MAX_READ_BYTES)
        self._connection = Connection(connection, export, self._answer, threads=THREADS)
        self._thread = threading.Thread(target=self._connection.run, name="object-server", daemon=True)
        self.failure: BaseException | None = None
        self.read_beyond_end: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection; reads of the object that are running end by themselves."""
        self._connection.close()
        self._thread.join()

    def take_failure(self) -> BaseException | None:
        """Return the object's exception and forget it, so that a later read can succeed."""
        failure, self.failure = self.failure, None
        return failure

    def _answer(self, request: Request) -> bytes:
        if request.command != wire.CMD_READ or not 0 < request.length <= MAX_READ_BYTES:
            raise CommandFailed(wire.EINVAL)
        end = request.offset + request.length
        if end > self._source.size:
            self.read_beyond_end = self.read_beyond_end or end
            raise CommandFailed(wire.EIO)
        try:
            return self._source.read(request.offset, end)
        except BaseException as error:
            self.failure = self.failure or error
            raise CommandFailed(wire.EIO) from error
