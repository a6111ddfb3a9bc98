"""Reads the files of views: pieces of the image at one version, and documents made for the request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from image_gateway.domain.images import ImageRecord
from image_gateway.errors import GatewayError, StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.views.pieces import Document, Piece, Segment
from image_gateway.services.reading.cached_body import SEND_SIZE
from image_gateway.services.reading.compression import ENCODING, compress
from image_gateway.services.reading.reader import Reader
from image_gateway.services.reading.representations import OCTETS, Answer, ReadRequest, Representation
from image_gateway.services.slots import FairSlots
from image_gateway.storage.body import Body, BodyBroken

_ZEROS = bytes(256 * 1024)
# A compressed piece that is larger keeps its slot until it is sent, since it stays in memory.
MAX_UNCOUNTED_BYTES = 1024 * 1024


class PieceReader:
    """Answers reads of pieces and documents; raises the errors of `Reader.read`.

    Their source is the disk of an image or of a delta. A piece never has bytes of another version: where an
    object was replaced it raises StoreError. `compressions` bounds how many pieces are compressed, or kept
    compressed in memory, at once.
    """

    def __init__(self, reader: Reader, compressions: FairSlots) -> None:
        self._reader = reader
        self._compressions = compressions

    def read(
        self, record: ImageRecord, source: Representation, piece: Piece, request: ReadRequest, holder: str
    ) -> Answer:
        """Answer a request for a piece; `holder` is whose compression it is. Raises Overloaded."""
        target = _represent(record, source, piece)
        byte_range = self._reader.decide(target, request)
        if isinstance(byte_range, Answer):
            return byte_range
        if piece.compressed:
            return self._compress(target, source, piece, request, holder)
        if request.head:
            self._reader.require_version(source)
            return Answer(200, target)
        status = 200 if byte_range is None else 206
        return Answer(status, target, byte_range, self._open(source, piece.segments, byte_range))

    def zeros_of(self, source: Representation) -> Callable[[ByteRange], bool]:
        """Return what tells whether a range of the disk is known to hold only zeros."""
        return lambda wanted: self._reader.is_zero(source, wanted)

    def read_document(
        self, record: ImageRecord, source: Representation, document: Document, request: ReadRequest
    ) -> Answer:
        """Answer a request for a document."""
        digest = hashlib.sha256(document.body).hexdigest()[:32]
        target = replace(
            source,
            size=len(document.body),
            etag=f'"{source.disk_version}-{digest}"',
            last_modified=_last_modified(record, source, is_lasting=document.is_lasting),
            content_type=document.content_type,
            takes_ranges=False,
            is_versioned=document.is_lasting and source.is_fixed,
        )
        decided = self._reader.decide(target, request)
        if isinstance(decided, Answer):
            return decided
        return Answer(200, target, None, None if request.head else MemoryBody(document.body))

    def _open(
        self, source: Representation, segments: Sequence[Segment], byte_range: ByteRange | None
    ) -> Body:
        """Open the first segment now, while the status can still report an error."""
        if byte_range is not None:
            start = segments[0].source.start
            wanted = ByteRange(start + byte_range.start, start + byte_range.stop)
            return self._reader.open_version(source, wanted)
        first = self._reader.open_version(source, segments[0].source)
        if len(segments) == 1 and not segments[0].padding:
            return first
        return PaddedBody(first, segments, lambda wanted: self._reader.open_version(source, wanted))

    def _compress(
        self, target: Representation, source: Representation, piece: Piece, request: ReadRequest, holder: str
    ) -> Answer:
        slot = self._compressions.acquire(holder)
        try:
            try:
                frame = compress(self._open(source, piece.segments, None), piece.size)
            except BodyBroken as error:
                raise StoreUnavailable("the store broke off within a block; try again") from error
        except BaseException:
            slot.release()
            raise
        target = replace(target, size=len(frame))
        if request.head or len(frame) <= MAX_UNCOUNTED_BYTES:
            slot.release()
        return Answer(200, target, None, None if request.head else MemoryBody(frame, slot.release))


class MemoryBody:
    """A body that is in memory; `on_close` is called when it is closed, or was sent."""

    file = None

    def __init__(self, data: bytes, on_close: Callable[[], object] = lambda: None) -> None:
        self._blocks = (data[start : start + SEND_SIZE] for start in range(0, len(data), SEND_SIZE))
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        """Forget the bytes; may be called again."""
        self._blocks.close()
        self._on_close()


class PaddedBody:
    """Iterates over the bytes of segments, each followed by its zeros.

    Raises BodyBroken where a segment cannot be read to its end: zeros stand only for what lies beyond the end
    of the image.
    """

    file = None

    def __init__(
        self, first: Body, segments: Sequence[Segment], open_range: Callable[[ByteRange], Body]
    ) -> None:
        self._body: Body | None = first
        self._segments = segments
        self._open = open_range
        self._blocks = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        """Close the open segment; may be called again."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _read(self) -> Iterator[bytes]:
        for number, segment in enumerate(self._segments):
            if number:
                self._body = self._open_next(segment)
            yield from self._read_open(segment)
            yield from _zeros(segment.padding)

    def _read_open(self, segment: Segment) -> Iterator[bytes]:
        rest = segment.source.length
        for block in self._body or ():
            rest -= len(block)
            yield block
        if rest:
            raise BodyBroken(f"{rest} bytes of a segment are missing")
        self.close()

    def _open_next(self, segment: Segment) -> Body:
        try:
            return self._open(segment.source)
        except GatewayError as error:
            raise BodyBroken(f"the next segment cannot be read: {error.code}") from error


def _zeros(length: int) -> Iterator[bytes]:
    while length:
        yield _ZEROS[:length]
        length -= min(length, len(_ZEROS))


def _represent(record: ImageRecord, source: Representation, piece: Piece) -> Representation:
    encoding = f"-{ENCODING}" if piece.compressed else ""
    return replace(
        source,
        size=piece.size,
        etag=f'"{source.disk_version}-{piece.tag}{encoding}"',
        last_modified=_last_modified(record, source, is_lasting=piece.is_lasting),
        content_type=OCTETS,
        takes_ranges=piece.takes_ranges,
        is_versioned=piece.is_lasting and source.is_fixed,
    )


def _last_modified(record: ImageRecord, source: Representation, *, is_lasting: bool) -> datetime | None:
    """Return the date of the disk, or of the record for what can change without the disk."""
    if is_lasting or source.last_modified is None:
        return source.last_modified
    return max(source.last_modified, record.updated_at.replace(microsecond=0))
