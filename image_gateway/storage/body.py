"""An object's body as an iterator that resumes after errors, never ends short and always closes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from botocore.exceptions import HTTPClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from image_gateway.errors import GatewayError, StoreFact
from image_gateway.observability.metrics import BODY_GIVE_UPS, BODY_RESUMES

BLOCK_SIZE = 256 * 1024
# Delays in seconds before consecutive attempts to resume a body.
RETRY_DELAYS = (0, 0.25, 0.5, 1, 2)
_log = logging.getLogger(__name__)
_READ_ERRORS = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError, HTTPClientError, OSError)


class BodyBroken(Exception):
    """The store ended a body early. The client's connection must be aborted, not ended normally."""


class Body(Protocol):
    """Iterates over exactly the bytes that were announced, or raises BodyBroken; the receiver closes it."""

    @property
    def file(self) -> BinaryIO | None:
        """An open file that the server may send by itself."""

    def __iter__(self) -> Iterator[bytes]: ...

    def __next__(self) -> bytes: ...

    def close(self) -> None: ...


class ReadableStream(Protocol):
    """The methods of botocore's StreamingBody that are used here."""

    def read(self, amt: int | None = ...) -> bytes: ...

    def close(self) -> None: ...


Reopen = Callable[[int], ReadableStream]


class ObjectBody:
    """Iterates over exactly `length` bytes in blocks of at most 256 KiB.

    If a read fails, `reopen` returns a stream of the same version from the current offset. It is called up to
    five times in a row; each block that is read resets the count. Raises BodyBroken after the last attempt,
    or if the version is gone.

    This is not a generator: the server closes the body even if it was never started, and a generator's
    `finally` would not run then.
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
        self._attempts = 0
        self._first: bytes | None = None

    def begin(self) -> None:
        """Read the first block completely in advance, while the status code can still report an error."""
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
        """Return all bytes and close the body. For small bodies."""
        try:
            return b"".join(self)
        finally:
            self.close()

    def close(self) -> None:
        """Release the connection. May be called repeatedly."""
        self._stream.close()

    def _next_block(self, amount: int) -> bytes:
        block = self._read(amount)
        while not block:
            self._resume()
            block = self._read(amount)
        self._sent += len(block)
        self._attempts = 0
        return block

    def _read(self, amount: int) -> bytes:
        """Return some bytes, or none if the stream failed or ended."""
        try:
            return self._stream.read(amount)
        except _READ_ERRORS as error:
            _log.warning(
                "reading a body failed after %d of %d bytes: %s",
                self._sent,
                self._length,
                type(error).__name__,
            )
            return b""

    def _resume(self) -> None:
        """Resume at the current offset. Raises BodyBroken if that fails."""
        self.close()
        while self._reopen and self._attempts < len(RETRY_DELAYS):
            self._sleep(RETRY_DELAYS[self._attempts])
            self._attempts += 1
            try:
                self._stream = self._reopen(self._sent)
            except StoreFact as error:
                raise self._broken(f"the object was deleted or replaced ({type(error).__name__})") from error
            except GatewayError as error:
                _log.warning("resuming the body failed: %s", error.code)
                continue
            BODY_RESUMES.inc()
            return
        raise self._broken("the store closed the connection early")

    def _broken(self, reason: str) -> BodyBroken:
        BODY_GIVE_UPS.inc()
        text = f"body broken after {self._sent} of {self._length} bytes: {reason}"
        _log.warning(text)
        return BodyBroken(text)
