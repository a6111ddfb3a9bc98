"""The body of an object as an iterator that counts, never ends short, and always closes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Protocol

from botocore.exceptions import HTTPClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

BLOCK_SIZE = 256 * 1024
_log = logging.getLogger(__name__)


class BodyBroken(Exception):
    """The store ended a body early; the client's connection must break, not end normally."""


class ReadableStream(Protocol):
    """The two verbs of a botocore StreamingBody that are needed here."""

    def read(self, amt: int | None = ...) -> bytes: ...

    def close(self) -> None: ...


class ObjectBody:
    """Iterates over exactly `length` bytes in blocks of 256 KiB.

    Raises BodyBroken when the store sends fewer bytes. The server closes it on every path, also
    when it was never started, which a generator's `finally` would not notice.
    """

    def __init__(self, stream: ReadableStream, length: int) -> None:
        self._stream = stream
        self._length = length
        self._sent = 0
        self._first: bytes | None = None

    def begin(self) -> None:
        """Read the first block ahead, so that a store that breaks at once can still be answered for."""
        if self._length:
            self._first = self._next_block()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            block, self._first = self._first, None
            return block
        if self._sent == self._length:
            self.close()
            raise StopIteration
        return self._next_block()

    def _next_block(self) -> bytes:
        block = self._read(min(BLOCK_SIZE, self._length - self._sent))
        if not block:
            raise self._broken("the store ended it early")
        self._sent += len(block)
        return block

    def read_all(self) -> bytes:
        """Return all bytes and close; for bodies known to be small."""
        try:
            return b"".join(self)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back; may be called again."""
        self._stream.close()

    def _read(self, amount: int) -> bytes:
        try:
            return self._stream.read(amount)
        except (
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
            HTTPClientError,
            OSError,
        ) as error:
            raise self._broken(type(error).__name__) from error

    def _broken(self, reason: str) -> BodyBroken:
        self.close()
        text = f"body broken after {self._sent} of {self._length} bytes: {reason}"
        _log.warning(text)
        return BodyBroken(text)
