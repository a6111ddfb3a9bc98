"""A guest that writes to a delta by its services, and knows what its disk must hold."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import Protocol

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.callers import Caller
from image_gateway.domain.deltas import Commit, Delta
from image_gateway.protocol.deltas.runs import ZERO
from image_gateway.protocol.deltas.segment import Extent, encode_segment
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.deltas.commits import CommitRequest
from image_gateway.services.deltas.delta_services import DeltaServices
from image_gateway.services.deltas.deltas import WRITING
from image_gateway.services.leases import LeaseRequest
from image_gateway.storage.object_reads import Pin
from image_gateway.storage.objects import ObjectStore

OWNER = Caller("alice")


class Ground(Protocol):
    """Where deltas are written: a World, or less."""

    @property
    def catalog(self) -> Catalog: ...

    @property
    def store(self) -> ObjectStore: ...


class Guest:
    """One delta, its session, and a copy of its disk in memory as of the last commit."""

    def __init__(self, world: Ground, services: DeltaServices, delta_id: str, disk: bytes) -> None:
        self.world, self.services, self.delta_id = world, services, delta_id
        self.disk = bytearray(disk)
        self.open_session()

    def open_session(self) -> None:
        """Become the writer."""
        session = self.services.deltas.open_session(self.delta_id, OWNER, LeaseRequest(WRITING))
        self.writer = Caller(lease=session.issued.lease)
        self.generation, self.block_size = session.delta.generation, session.delta.block_size

    def write(self, block: int, data: bytes | None, count: int = 1) -> Commit:
        """Commit blocks with data, or `count` of zeros, as one extent."""
        blocks = len(data) // self.block_size if data is not None else count
        made = self.send(make_request(self.block_size, self.generation, [Extent(block, blocks, data)]))
        start = block * self.block_size
        content = data if data is not None else bytes(blocks * self.block_size)
        fits = content[: max(0, len(self.disk) - start)]
        self.disk[start : start + len(fits)] = fits
        return made

    def write_many(self, blocks: Iterable[tuple[int, bytes]]) -> Commit:
        """Commit several blocks with data, ascending, as an extent each."""
        extents = [Extent(block, 1, data) for block, data in blocks]
        made = self.send(make_request(self.block_size, self.generation, extents))
        for extent in extents:
            start = extent.block * self.block_size
            self.disk[start : start + self.block_size] = extent.data or b""
        return made

    def send(self, request: CommitRequest) -> Commit:
        """Commit, and remember the generation."""
        made = self.services.commits.commit(self.delta_id, self.writer, request)
        self.generation = made.generation
        return made

    @property
    def row(self) -> Delta:
        """The delta in the catalog."""
        found = self.world.catalog.deltas.find(self.delta_id)
        assert found is not None
        return found


def make_request(
    block_size: int, generation: int, extents: list[Extent], key: str | None = None
) -> CommitRequest:
    """Return a commit with a key of its own."""
    body = encode_segment(block_size, extents)
    return CommitRequest(generation, key or str(uuid.uuid4()), body, hashlib.sha256(body).hexdigest())


def read_disk(
    world: Ground, services: DeltaServices, delta_id: str, base: bytes, generation: int | None = None
) -> bytes:
    """Return the whole disk by its map and the objects in the store, without the gateway's reader."""
    delta = world.catalog.deltas.find(delta_id)
    assert delta is not None
    record = world.catalog.find(delta.image_id)
    assert record is not None
    found = services.maps.at(delta, record, delta.generation if generation is None else generation)
    disk = bytearray(base)
    size, blocks = delta.block_size, -(-len(base) // delta.block_size)
    for place in found.places(0, blocks):
        assert place.length > 0
        start = place.block * size
        if place.segment is None:
            continue
        if place.offset == ZERO:
            data = bytes(place.length * size)
        else:
            at = place.segment.data_start + place.offset * size
            key = record.location.delta_key(place.segment.delta_id, place.segment.name)
            wanted = ByteRange(at, at + place.length * size)
            pin = Pin(etag=place.segment.etag)
            data = world.store.open(key, byte_range=wanted, pin=pin).body.read_all()
        disk[start : start + len(data)] = data[: len(base) - start]
    return bytes(disk)
