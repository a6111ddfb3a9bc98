"""The stored object as a source of bytes, and what every reader of it counts and checks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from image_gateway.errors import ConversionError, InvalidImage


class ObjectBytes(Protocol):
    """A stored object of a fixed version. `read` may be called from several threads at once."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`; may raise a GatewayError."""
        ...


@dataclass(frozen=True)
class Extent:
    """A range of a disk, `end` exclusive; `is_zero` when it is known to be zeros without reading it."""

    start: int
    end: int
    is_zero: bool


class CountedObject:
    """An object whose reads are counted and must be exact."""

    def __init__(self, source: ObjectBytes) -> None:
        self._source = source
        self._lock = threading.Lock()
        self.size = source.size
        self.bytes_read = 0

    def read(self, start: int, end: int) -> bytes:
        """Return exactly these bytes of the object.

        Raises:
            ConversionError: The source returned another number of bytes.
        """
        data = self._source.read(start, end)
        with self._lock:
            self.bytes_read += len(data)
        if len(data) != end - start:
            raise ConversionError(
                f"the store returned {len(data)} of {end - start} bytes at {start} of the object"
            )
        return data

    def read_header(self, start: int, length: int, name: str) -> bytes:
        """Return bytes that the format requires; raises InvalidImage, naming them, if they are missing."""
        if start + length > self.size:
            raise InvalidImage(
                f"the file is truncated: the {name} ends at {start + length}, the file at {self.size}"
            )
        return self.read(start, start + length)
