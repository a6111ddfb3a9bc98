"""What can be read: disks, chunks, pieces of views, and disks of a base and a delta over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from image_gateway.protocol.deltas.delta_map import DeltaMap, SegmentRef
from image_gateway.protocol.layout import ImageLocation
from image_gateway.protocol.preconditions import Conditions
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.reading.cached_body import CachedObject
from image_gateway.services.reading.zero_maps import ZeroMapRef
from image_gateway.storage.body import Body
from image_gateway.storage.object_reads import Pin

OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Representation:
    """A body that can be read: its object, its validators, and the version that reads are tied to.

    The bytes at the URL of a versioned representation never change, so a public one may be cached forever.
    `disk_start` is the place of its bytes in the image's disk, None for other bytes; `disk_version` names the
    bytes of a disk, for the disk itself alone. `zero_map` tells which bytes are zeros and need not be read.
    With an `overlay` the object is only the base. `is_fixed` is False if the same URL will have other bytes.
    """

    image_id: str
    key: str
    size: int
    etag: str
    last_modified: datetime | None
    cache_control: str | None
    content_type: str
    pin: Pin
    takes_ranges: bool = True
    is_versioned: bool = False
    disk_start: int | None = None
    disk_version: str | None = None
    zero_map: ZeroMapRef | None = None
    overlay: Overlay | None = None
    is_fixed: bool = True


@dataclass(frozen=True)
class Part:
    """Bytes of a disk with an overlay: those `wanted` of a segment, of the base for None, or zeros."""

    wanted: ByteRange
    segment: CachedObject | None = None
    is_zero: bool = False


@dataclass(frozen=True)
class Overlay:
    """What a delta changes of its base: the map at one generation, and where the segments are stored."""

    base: Representation
    contents: DeltaMap
    location: ImageLocation

    def parts(self, wanted: ByteRange) -> Iterator[Part]:
        """Yield where the bytes of a range of the disk are, ascending and without gaps."""
        size = self.contents.block_size
        for place in self.contents.places(wanted.start // size, -(-wanted.stop // size)):
            start, stop = max(wanted.start, place.block * size), min(wanted.stop, place.stop * size)
            if place.segment is None or place.is_zero:
                yield Part(ByteRange(start, stop), is_zero=place.is_zero)
            else:
                shift = place.segment.data_start + (place.offset - place.block) * size
                yield Part(ByteRange(start + shift, stop + shift), self._stored(place.segment))

    def _stored(self, segment: SegmentRef) -> CachedObject:
        key = self.location.delta_key(segment.delta_id, segment.name)
        pin = Pin(etag=segment.etag)
        return CachedObject(key, segment.size, pin, f"{key} {segment.etag}", self.base.image_id)


@dataclass(frozen=True)
class ReadRequest:
    """The raw Range header, the conditional headers, and whether the method is HEAD."""

    range_header: str | None
    conditions: Conditions
    head: bool = False


@dataclass(frozen=True)
class Answer:
    """Status 200, 206, 304 or 416; the byte range of a 206; for GET a body, which the caller must close."""

    status: int
    representation: Representation
    byte_range: ByteRange | None = None
    body: Body | None = None
