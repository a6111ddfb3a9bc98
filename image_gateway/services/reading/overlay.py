"""Bodies of a base and a delta over it: each byte from the segment that has it, zeros, or the base."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from image_gateway.errors import (
    GatewayError,
    ObjectChanged,
    ObjectMissing,
    StoreError,
    StoreUnavailable,
)
from image_gateway.protocol.map_ordered import map_ordered
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.reading.cached_body import CachedObject
from image_gateway.services.reading.representations import Part
from image_gateway.services.reading.zero_maps import ZeroBody
from image_gateway.storage.body import Body, BodyBroken

# Parts up to this size are read into memory, some at a time; larger ones are streamed.
SMALL_BYTES = 256 * 1024
WINDOW_BYTES = 1024 * 1024
# So many bytes that nobody wants are read rather than asking the store once more.
MAX_GAP_BYTES = 64 * 1024
_FETCHED_AT_ONCE = 4


class Sources(NamedTuple):
    """How a range of the base and one of a segment are opened, with the first block at hand.

    `open_base` raises GatewayError, `open_segment` also ObjectMissing and ObjectChanged.
    """

    open_base: Callable[[ByteRange], Body]
    open_segment: Callable[[CachedObject, ByteRange], Body]

    def open(self, segment: CachedObject | None, wanted: ByteRange) -> Body:
        """Open a range of a segment, or of the base for None; a segment that is not there is StoreError."""
        if segment is None:
            return self.open_base(wanted)
        try:
            return self.open_segment(segment, wanted)
        except ObjectMissing as error:
            raise StoreError(f"a segment of the delta is missing from the store: {segment.key}") from error
        except ObjectChanged as error:
            raise StoreError(f"a segment of the delta was replaced in the store: {segment.key}") from error


def open_parts(parts: Iterator[Part], sources: Sources) -> Body:
    """Return a body of parts with the first of them open; raises GatewayError.

    At most about 5 MiB are in memory.
    """
    first = next(parts)
    second = next(parts, None)
    if second is None:
        return _open_part(first, sources)
    body = PartsBody(_windows(_chain(first, second, parts)), sources)
    body.begin()
    return body


class PartsBody:
    """Iterates over the bytes of windows of parts. Raises BodyBroken where one cannot be read to its end."""

    file = None

    def __init__(self, windows: Iterator[Sequence[Part]], sources: Sources) -> None:
        self._windows = windows
        self._sources = sources
        self._fetched: bytes | None = None
        self._streamed: Body | None = None
        self._left = 0

    def begin(self) -> None:
        """Read the first window, or open its only part, while the status can still report an error."""
        try:
            self._advance()
        except BodyBroken as error:
            raise StoreUnavailable("the store closed the connection within a block; try again") from error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while True:
            if self._fetched is not None:
                data, self._fetched = self._fetched, None
                return data
            if self._streamed is not None:
                block = self._next_streamed(self._streamed)
                if block is not None:
                    return block
            try:
                self._advance()
            except GatewayError as error:
                raise BodyBroken(f"the next part of the delta cannot be read: {error.code}") from error

    def close(self) -> None:
        """Close the part that is being streamed; may be called again."""
        streamed, self._streamed = self._streamed, None
        if streamed is not None:
            streamed.close()

    def _advance(self) -> None:
        """Open the next window; StopIteration after the last."""
        window = next(self._windows)
        if len(window) == 1:
            self._left = window[0].wanted.length
            self._streamed = _open_part(window[0], self._sources)
        else:
            self._fetched = _fetch_window(window, self._sources)

    def _next_streamed(self, body: Body) -> bytes | None:
        """Return the next block of the streamed part, or None after its end."""
        block = next(body, None)
        if block is not None:
            self._left -= len(block)
            return block
        if self._left:
            raise BodyBroken(f"{self._left} bytes of a part are missing")
        self.close()
        return None


@dataclass
class _Fetch:
    """A range of one object to read at once, and which of its bytes go where in a window."""

    segment: CachedObject | None
    start: int
    stop: int
    pieces: list[tuple[int, ByteRange]] = field(default_factory=list)

    def takes(self, wanted: ByteRange) -> bool:
        """Return whether a range continues this one, or nearly."""
        is_near = self.stop <= wanted.start <= self.stop + MAX_GAP_BYTES
        return is_near and wanted.stop - self.start <= WINDOW_BYTES


def _open_part(part: Part, sources: Sources) -> Body:
    return ZeroBody(part.wanted.length) if part.is_zero else sources.open(part.segment, part.wanted)


def _chain(first: Part, second: Part, others: Iterator[Part]) -> Iterator[Part]:
    yield first
    yield second
    yield from others


def _windows(parts: Iterable[Part]) -> Iterator[Sequence[Part]]:
    """Yield a part by itself that is large, and others together, up to WINDOW_BYTES."""
    window: list[Part] = []
    size = 0
    for part in parts:
        length = part.wanted.length
        if window and (length > SMALL_BYTES or size + length > WINDOW_BYTES):
            yield window
            window, size = [], 0
        if length > SMALL_BYTES:
            yield [part]
        else:
            window.append(part)
            size += length
    if window:
        yield window


def _fetch_window(window: Sequence[Part], sources: Sources) -> bytes:
    """Return the bytes of small parts, read from the store with few requests, some at a time."""
    fetches = _plan(window)
    data = bytearray(sum(part.wanted.length for part in window))

    def read(number: int) -> bytes:
        fetch = fetches[number]
        return _read_all(sources.open(fetch.segment, ByteRange(fetch.start, fetch.stop)), fetch)

    if len(fetches) < 2:
        for number, fetch in enumerate(fetches):
            _place(fetch, read(number), data)
        return bytes(data)
    with closing(map_ordered(read, len(fetches), _FETCHED_AT_ONCE)) as answers:
        for fetch, answer in zip(fetches, answers, strict=True):
            _place(fetch, answer, data)
    return bytes(data)


def _plan(window: Sequence[Part]) -> Sequence[_Fetch]:
    """Join ranges of one object that are near each other: the blocks of a segment ascend as a disk's do."""
    fetches: list[_Fetch] = []
    last: dict[str | None, _Fetch] = {}
    at = 0
    for part in window:
        wanted, segment = part.wanted, part.segment
        if not part.is_zero:
            name = segment.key if segment is not None else None
            fetch = last.get(name)
            if fetch is None or not fetch.takes(wanted):
                fetch = last[name] = _Fetch(segment, wanted.start, wanted.stop)
                fetches.append(fetch)
            fetch.stop = wanted.stop
            fetch.pieces.append((at, wanted))
        at += wanted.length
    return fetches


def _read_all(body: Body, fetch: _Fetch) -> bytes:
    try:
        data = b"".join(body)
    finally:
        body.close()
    if len(data) != fetch.stop - fetch.start:
        raise BodyBroken(f"{len(data)} bytes of a part came instead of {fetch.stop - fetch.start}")
    return data


def _place(fetch: _Fetch, answer: bytes, data: bytearray) -> None:
    view = memoryview(answer)
    for at, wanted in fetch.pieces:
        data[at : at + wanted.length] = view[wanted.start - fetch.start : wanted.stop - fetch.start]
