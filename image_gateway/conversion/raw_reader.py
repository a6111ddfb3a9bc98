"""Reads disks whose bytes are in the object as they are: raw, ISO 9660 and fixed VHD."""

from __future__ import annotations

from collections.abc import Iterator

from image_gateway.conversion.object_source import CountedObject, Extent


class RawReader:
    """A disk that is the first `size` bytes of an object. It says of no range that it is zeros."""

    def __init__(self, source: CountedObject, size: int) -> None:
        self._source = source
        self.size = size

    @property
    def stored_bytes_read(self) -> int:
        return self._source.bytes_read

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """Yield the whole range as data."""
        check_range(start, end, self.size)
        if start < end:
            yield Extent(start, end, is_zero=False)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`; raises what the source raises."""
        check_range(start, end, self.size)
        return self._source.read(start, end) if start < end else b""


def check_range(start: int, end: int, size: int) -> None:
    """Raise ValueError unless the range is within a disk of `size` bytes."""
    if not 0 <= start <= end <= size:
        raise ValueError(f"bytes {start} to {end} are not a range of a disk of {size} bytes")
