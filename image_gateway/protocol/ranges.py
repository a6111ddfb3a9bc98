"""One exact parser of the Range header (RFC 9110 §14.1.2, §14.2) for a body of known size."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Longer numbers are beyond every object; int() itself refuses more than 4300 digits.
_MOST_DIGITS = 20
_BYTE_RANGE = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)


@dataclass(frozen=True)
class Whole:
    """Send everything: there is no Range, or one in a unit we do not know."""


@dataclass(frozen=True)
class Part:
    """Send the bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def as_request(self) -> str:
        """The Range header that asks a store for exactly this part."""
        return f"bytes={self.start}-{self.stop - 1}"

    def as_content_range(self, size: int) -> str:
        """The Content-Range header (RFC 9110 §14.4) of this part of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True)
class Unsatisfiable:
    """Nothing can be sent for this Range: answer 416."""


def resolve_range(header: str | None, size: int) -> Whole | Part | Unsatisfiable:
    """Decide what a Range header asks of a body of `size` bytes; never raises.

    One range in bytes is honoured and clamped to the body. Another unit is ignored
    (RFC 9110 §14.2). Several ranges, and anything malformed, are unsatisfiable.
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


def _resolve(first: str, last: str, size: int) -> Part | Unsatisfiable:
    if not first:
        length = min(_number(last), size) if last else 0
        return Part(size - length, size) if length else Unsatisfiable()
    start = _number(first)
    stop = min(_number(last) + 1, size) if last else size
    return Part(start, stop) if start < stop else Unsatisfiable()


def _number(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    return 10**_MOST_DIGITS if len(significant) > _MOST_DIGITS else int(significant)
