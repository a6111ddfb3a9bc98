"""Bodies of several segments, padding, and compression, over a reader that counts what is open."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import zstandard

from image_gateway.domain.images import DiskFacts, ImageRecord, ImageState, Kind, UploadPlan, Visibility
from image_gateway.errors import NotFound, Overloaded, StoreError, StoreUnavailable
from image_gateway.protocol.preconditions import Conditions
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.views import tinyemu, v86
from image_gateway.protocol.views.pieces import Document, Piece
from image_gateway.services.reading.pieces import MAX_UNCOUNTED_BYTES, PieceReader
from image_gateway.services.reading.reader import Reader, represent_disk
from image_gateway.services.reading.representations import (
    Answer,
    ReadRequest,
    Representation,
)
from image_gateway.services.slots import FairSlots, make_compression_slots
from image_gateway.storage.body import BodyBroken

NOW = datetime(2026, 11, 22, 19, tzinfo=UTC)
PLAN = UploadPlan("upload", 5 * 1024 * 1024, None, None, NOW)
RECORD = ImageRecord(
    "id",
    "alice",
    "/images",
    "0a0b",
    "disk",
    Kind.DISK,
    Visibility.PRIVATE,
    ImageState.COMPLETE,
    PLAN,
    NOW,
    NOW,
)
GET, HEAD = ReadRequest(None, Conditions()), ReadRequest(None, Conditions(), head=True)
MIB = 1024 * 1024


class OpenBody:
    """A range that is being read, in blocks of 1000 bytes, which may end early."""

    file = None

    def __init__(self, reads: Bytes, data: bytes) -> None:
        self._reads = reads
        self._blocks = iter([data[start : start + 1000] for start in range(0, len(data), 1000)])
        self._is_open = True
        reads.open += 1

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        self._reads.open -= self._is_open
        self._is_open = False


class Bytes(Reader):
    """An image in memory: which ranges were opened, how many are open, and what fails."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened: list[tuple[int, int]] = []
        self.open = 0
        self.missing = 0
        self.failures: dict[int, Exception] = {}

    def open_version(self, target: Representation, byte_range: ByteRange) -> OpenBody:
        self.opened.append((byte_range.start, byte_range.stop))
        if len(self.opened) in self.failures:
            raise self.failures[len(self.opened)]
        return OpenBody(self, self.data[byte_range.start : byte_range.stop - self.missing])

    def require_version(self, target: Representation) -> None:
        assert target.pin.etag == '"disk"'


@pytest.fixture
def image() -> Bytes:
    return Bytes(random.Random(3).randbytes(10_000))


def read(image: Bytes, piece: object, request: ReadRequest = GET, slots: FairSlots | None = None) -> Answer:
    assert isinstance(piece, Piece)
    disk = DiskFacts(len(image.data), '"disk"', NOW, None)
    reader = PieceReader(image, slots or make_compression_slots(8, 0))
    return reader.read(RECORD, represent_disk(RECORD, disk), piece, request, "alice")


def group(image: Bytes) -> Piece:
    wanted = [ByteRange(9_000, 10_000), ByteRange(0, 2048), ByteRange(4096, 4097)]
    found = tinyemu.find(len(image.data), "1", "grp000000000.bin", wanted)
    assert isinstance(found, Piece)
    return found


def test_a_group_has_its_blocks_one_after_the_other(image: Bytes) -> None:
    answer = read(image, group(image))
    assert answer.body is not None
    assert image.opened == [(8192, 10_000)]
    tail = image.data[8192:].ljust(2048, b"\0")
    assert b"".join(answer.body) == tail + image.data[:2048] + image.data[4096:5120]
    assert answer.representation.size == 5120
    assert image.opened == [(8192, 10_000), (0, 2048), (4096, 5120)]
    assert image.open == 0


@pytest.mark.parametrize(("taken", "is_open"), [(0, 1), (1, 1), (3, 0), (5, 1)])
def test_closing_closes_what_is_open(image: Bytes, taken: int, is_open: int) -> None:
    """After two blocks of the first segment come its zeros, for which nothing is open."""
    body = read(image, group(image)).body
    assert body is not None
    for _ in range(taken):
        next(body)
    assert image.open == is_open
    body.close()
    body.close()
    assert image.open == 0


@pytest.mark.parametrize("error", [StoreUnavailable("away"), NotFound("gone"), StoreError("replaced")])
def test_a_later_segment_that_fails_breaks_the_body(image: Bytes, error: Exception) -> None:
    image.failures[2] = error
    body = read(image, group(image)).body
    assert body is not None
    with pytest.raises(BodyBroken):
        list(body)
    image.opened.clear()
    image.failures = {1: error}
    with pytest.raises(type(error)):
        read(image, group(image))
    assert image.open == 0


def test_a_body_that_is_short_is_not_padded(image: Bytes) -> None:
    image.missing = 10
    body = read(image, v86.find(10_000, "8192", "disk-8192-16384.img")).body
    assert body is not None
    with pytest.raises(BodyBroken, match="10 bytes"):
        list(body)
    body.close()
    assert image.open == 0


@pytest.mark.parametrize("size", [1, 8191, 8192, 8193])
def test_a_compressed_piece_is_one_frame(size: int) -> None:
    image = Bytes(bytes(size))
    piece = v86.find(size, "8192", "disk-0-8192.img.zst")
    get, head = read(image, piece), read(image, piece, HEAD)
    assert get.body is not None
    frame = b"".join(get.body)
    assert zstandard.get_frame_parameters(frame).content_size == 8192
    decoder = zstandard.ZstdDecompressor().decompressobj()
    assert decoder.decompress(frame) == bytes(8192)
    assert (decoder.eof, decoder.unused_data) == (True, b"")
    assert head.body is None
    assert head.representation == get.representation
    assert get.representation.size == len(frame)
    assert image.open == 0


def is_free(slots: FairSlots) -> bool:
    try:
        slots.acquire("somebody").release()
    except Overloaded:
        return False
    return True


@pytest.mark.parametrize(("size", "keeps"), [(64 * 1024, False), (MAX_UNCOUNTED_BYTES + 1, True)])
def test_a_large_compressed_piece_keeps_its_slot_until_it_is_closed(size: int, keeps: bool) -> None:
    slots = FairSlots(1, per_holder=1, room=1, seconds=0)
    image = Bytes(random.Random(4).randbytes(size))
    piece = v86.find(size, str(2 * MIB), f"0-{2 * MIB}.img.zst")
    body = read(image, piece, slots=slots).body
    assert body is not None
    assert is_free(slots) == (not keeps)
    if keeps:
        with pytest.raises(Overloaded):
            read(image, piece, slots=slots)
    body.close()
    assert is_free(slots)
    assert list(body) == []


def test_a_failed_compression_gives_its_slot_back(image: Bytes) -> None:
    slots = FairSlots(1, per_holder=1, room=1, seconds=0)
    piece = v86.find(10_000, "8192", "disk-0-8192.img.zst")
    image.failures[1] = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        read(image, piece, slots=slots)
    assert is_free(slots)


def test_what_may_change_is_not_dated_before_its_change(image: Bytes) -> None:
    disk = DiskFacts(len(image.data), '"disk"', NOW, None)
    later = replace(RECORD, updated_at=NOW.replace(hour=20, microsecond=5))
    source = represent_disk(later, disk)
    reader = PieceReader(image, make_compression_slots(8, 0))
    dates = [
        reader.read_document(later, source, Document(b"x", "text/plain", is_lasting), GET).representation
        for is_lasting in (True, False)
    ]
    assert [date.last_modified for date in dates] == [NOW, NOW.replace(hour=20)]


def test_slots_for_compressing() -> None:
    for threads in (1, 8, 64):
        slots = make_compression_slots(threads, 0)
        held = [slots.acquire(name) for name in ("a", "b")]
        assert len(held) == 2
