"""Parses the Range header (RFC 9110 §14.1.2, §14.2) for a body of known size."""

from __future__ import annotations

import re
from dataclasses import dataclass

# No object is so large, and int() rejects more than 4300 digits.
_MAX_DIGITS = 20
_BYTE_RANGE = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)


@dataclass(frozen=True)
class Whole:
    """Send the whole body: there is no Range header, or its unit is unknown."""


@dataclass(frozen=True)
class ByteRange:
    """Send the bytes from `start` up to but not including `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def as_request(self) -> str:
        """Return the Range header value that requests exactly this part."""
        return f"bytes={self.start}-{self.stop - 1}"

    def as_content_range(self, size: int) -> str:
        """Return the Content-Range header value (RFC 9110 §14.4) for a body of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True)
class Unsatisfiable:
    """The range cannot be satisfied: respond with 416."""


def resolve_range(header: str | None, size: int) -> Whole | ByteRange | Unsatisfiable:
    """Resolve a Range header against a body of `size` bytes. Never raises.

    A single byte range is clamped to the body. Other units are ignored (RFC 9110 §14.2). Multiple ranges and
    malformed headers are unsatisfiable.
    """
    if header is None:
        return Whole()
    unit, equals, ranges = header.partition("=")
    if unit.strip(" \t").lower() != "bytes":
        return Whole()
    match = _BYTE_RANGE.fullmatch(ranges.strip(" \t")) if equals else None
    if match is None:
        return Unsatisfiable()
    return _resolve(match[1], match[2], size)


def _resolve(first: str, last: str, size: int) -> ByteRange | Unsatisfiable:
    if not first:
        length = min(_parse_number(last), size) if last else 0
        return ByteRange(size - length, size) if length else Unsatisfiable()
    start = _parse_number(first)
    stop = min(_parse_number(last) + 1, size) if last else size
    return ByteRange(start, stop) if start < stop else Unsatisfiable()


def _parse_number(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    return 10**_MAX_DIGITS if len(significant) > _MAX_DIGITS else int(significant)
