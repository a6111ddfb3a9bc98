"""What the file names of emulators stand for: ranges of the image, padded with zeros, or small documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from image_gateway.protocol.ranges import ByteRange

MIN_BLOCK_SIZE = 512
MAX_BLOCK_SIZE = 64 * 1024 * 1024
MAX_LISTED_BLOCKS = 8192
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


@dataclass(frozen=True)
class Segment:
    """Bytes of the image, followed by zeros until there are `length` bytes."""

    source: ByteRange
    length: int

    @property
    def padding(self) -> int:
        return self.length - self.source.length


@dataclass(frozen=True)
class Piece:
    """One file of a view.

    `tag` differs between any two pieces of a version that have other bytes. With `is_lasting` the name never
    stands for other bytes of the version. A `compressed` piece is sent as one zstd frame.
    """

    segments: tuple[Segment, ...]
    tag: str
    compressed: bool = False
    takes_ranges: bool = False
    is_lasting: bool = True

    @property
    def size(self) -> int:
        """The size in bytes, before compression."""
        return sum(segment.length for segment in self.segments)


@dataclass(frozen=True)
class Document:
    """A small file that is made for the request; with `is_lasting` it is always the same for a version."""

    body: bytes
    content_type: str
    is_lasting: bool = False


def json_document(content: dict[str, Any]) -> Document:
    """Return a JSON document; its content may change without a new version of the image."""
    return Document(json.dumps(content, separators=(",", ":")).encode(), "application/json")


def parse_number(text: str) -> int | None:
    """Return a decimal number without leading zeros; None for any other text."""
    return int(text) if _NUMBER.fullmatch(text) else None


def parse_block_size(text: str) -> int | None:
    """Return a block size from a path; None when it is not a number between 512 bytes and 64 MiB."""
    number = parse_number(text)
    return number if number is not None and MIN_BLOCK_SIZE <= number <= MAX_BLOCK_SIZE else None


def count_blocks(size: int, block_size: int) -> int:
    """Return the number of blocks of an image, the last of which may be short."""
    return -(-size // block_size)


def short_segment(size: int, start: int, length: int) -> Segment:
    """Return the bytes from `start` on, at most `length` of them, clipped to the image."""
    source = ByteRange(start, min(start + length, size))
    return Segment(source, source.length)


def padded_segment(size: int, start: int, length: int) -> Segment:
    """Return exactly `length` bytes from `start` on; those beyond the end of the image are zeros."""
    return Segment(ByteRange(start, min(start + length, size)), length)


def blocks_in(ranges: Iterable[ByteRange], size: int, block_size: int) -> list[int]:
    """Return the numbers of the blocks that byte ranges of the image touch, each once, in their order.

    At most MAX_LISTED_BLOCKS, so that small blocks make no endless list.
    """
    numbers: dict[int, None] = {}
    for wanted in ranges:
        stop = min(wanted.stop, size)
        if wanted.start < stop:
            numbers.update(dict.fromkeys(range(wanted.start // block_size, count_blocks(stop, block_size))))
        if len(numbers) >= MAX_LISTED_BLOCKS:
            break
    return list(numbers)[:MAX_LISTED_BLOCKS]


def merge_adjacent(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return the same bytes in as few segments as possible."""
    merged: list[Segment] = []
    for segment in segments:
        last = merged[-1] if merged else None
        if last is not None and not last.padding and last.source.stop == segment.source.start:
            source = ByteRange(last.source.start, segment.source.stop)
            merged[-1] = Segment(source, last.length + segment.length)
        else:
            merged.append(segment)
    return tuple(merged)
