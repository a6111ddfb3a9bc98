"""The body of an object as an iterator that counts, goes on after breaks, never ends short, always closes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from botocore.exceptions import HTTPClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from image_gateway.errors import GatewayError, StoreFact
from image_gateway.observability.metrics import BODY_GIVE_UPS, BODY_RESUMES

BLOCK_SIZE = 256 * 1024
# Seconds to wait before each of the times that a body is gone on with.
PAUSES = (0, 0.25, 0.5, 1, 2)
_log = logging.getLogger(__name__)
_BREAKS = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError, HTTPClientError, OSError)


class BodyBroken(Exception):
    """The store ended a body early; the client's connection must break, not end normally."""


class ReadableStream(Protocol):
    """The two verbs of a botocore StreamingBody that are needed here."""

    def read(self, amt: int | None = ...) -> bytes: ...

    def close(self) -> None: ...


Reopen = Callable[[int], ReadableStream]


class ObjectBody:
    """Iterates over exactly `length` bytes in blocks of at most 256 KiB.

    When the store breaks off, `reopen` gives a stream of the same version from the byte reached, up to five
    times in a row; every block read restores that. Raises BodyBroken when that is over, or the version is
    gone. The server closes it on every path, also when it was never started, which a generator's `finally`
    would not notice.
    """

    # Its bytes come over the network: there is no file that the server could send by itself.
    file: BinaryIO | None = None

    def __init__(
        self,
        stream: ReadableStream,
        length: int,
        reopen: Reopen | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stream = stream
        self._length = length
        self._reopen = reopen
        self._sent = 0
        self._sleep = sleep
        self._breaks = 0
        self._first: bytes | None = None

    def begin(self) -> None:
        """Read the first block ahead, whole: a store that breaks at once can still be answered for."""
        wanted = min(BLOCK_SIZE, self._length)
        first = b""
        while len(first) < wanted:
            block = self._next_block(wanted - len(first))
            first = first + block if first else block
        self._first = first or None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            block, self._first = self._first, None
            return block
        if self._sent == self._length:
            self.close()
            raise StopIteration
        return self._next_block(min(BLOCK_SIZE, self._length - self._sent))

    def read_all(self) -> bytes:
        """Return all bytes and close; for bodies known to be small."""
        try:
            return b"".join(self)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back; may be called again."""
        self._stream.close()

    def _next_block(self, amount: int) -> bytes:
        block = self._read(amount)
        while not block:
            self._resume()
            block = self._read(amount)
        self._sent += len(block)
        self._breaks = 0
        return block

    def _read(self, amount: int) -> bytes:
        """Return some bytes, none when the stream broke."""
        try:
            return self._stream.read(amount)
        except _BREAKS as error:
            _log.warning(
                "a body broke after %d of %d bytes: %s", self._sent, self._length, type(error).__name__
            )
            return b""

    def _resume(self) -> None:
        """Go on at the byte reached; BodyBroken when that cannot be."""
        self.close()
        while self._reopen and self._breaks < len(PAUSES):
            self._sleep(PAUSES[self._breaks])
            self._breaks += 1
            try:
                self._stream = self._reopen(self._sent)
            except StoreFact as error:
                raise self._broken(f"the object is gone or replaced ({type(error).__name__})") from error
            except GatewayError as error:
                _log.warning("a body could not be gone on with: %s", error.code)
                continue
            BODY_RESUMES.inc()
            return
        raise self._broken("the store ended it early")

    def _broken(self, reason: str) -> BodyBroken:
        BODY_GIVE_UPS.inc()
        text = f"body broken after {self._sent} of {self._length} bytes: {reason}"
        _log.warning(text)
        return BodyBroken(text)
