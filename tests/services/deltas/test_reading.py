"""Reads of base and delta against a copy of the disk in memory, and what a damaged store does to them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.errors import NotFound, StoreError, StoreUnavailable
from image_gateway.protocol.preconditions import Conditions
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.deltas import commits
from image_gateway.services.deltas.reading import DeltaReads
from image_gateway.services.reading import overlay
from image_gateway.services.reading.cached_body import BlockCacheReader
from image_gateway.services.reading.reader import Reader
from image_gateway.services.reading.representations import ReadRequest, Representation
from image_gateway.services.reading.zero_maps import write_zero_map
from image_gateway.storage.body import Body, BodyBroken
from image_gateway.storage.client import StoreClients
from image_gateway.storage.object_reads import OpenObject
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.delta_writing import OWNER, Guest
from tests.support.depth import depths
from tests.support.world import World, lasting_world

# The bytes come from the store.
pytestmark = pytest.mark.any_database

BLOCK = 512
BASE = random.Random(31).randbytes(300 * BLOCK + 100)
EXAMPLES = depths(12, 60)
# A run of blocks, with data or zeros.
WRITE = st.tuples(st.integers(0, 299), st.integers(1, 40), st.booleans())
WRITES = st.lists(WRITE, min_size=1, max_size=12)
RANGES = st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(1, len(BASE))), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[World]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield world


@pytest.fixture(scope="module")
def scene(lasting: World) -> DeltaWorld:
    image = lasting.make_image(BASE)
    return DeltaWorld(lasting, make_services(lasting), image.image_id, BASE)


@pytest.fixture(params=["store", "block cache"])
def reader(request: pytest.FixtureRequest, lasting: World, tmp_path: Path) -> Reader:
    if request.param == "store":
        return Reader(lasting.store)
    cache = BlockCache(tmp_path / "blocks", 2**24, 4096)
    return Reader(lasting.store, BlockCacheReader(lasting.store, cache))


@pytest.fixture(params=["usual", "tiny"])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tiny windows most parts are streamed, and fetches are not joined."""
    if request.param == "tiny":
        for name, value in (("SMALL_BYTES", 1500), ("WINDOW_BYTES", 4000), ("MAX_GAP_BYTES", 512)):
            monkeypatch.setattr(overlay, name, value)


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are several of them, with recent commits above runs of the last one."""
    monkeypatch.setattr(commits, "COMMITS_PER_CHECKPOINT", 3)


def disk_of(guest: Guest, generation: int | None = None) -> Representation:
    services = guest.services
    return DeltaReads(services.access, services.maps).find(guest.delta_id, OWNER, generation)[1]


def read(reader: Reader, target: Representation, wanted: ByteRange | None = None) -> bytes:
    request = ReadRequest(wanted.as_request() if wanted is not None else None, Conditions())
    answer = reader.read(target, request)
    assert answer.body is not None
    data = b"".join(answer.body)
    answer.body.close()
    return data


@pytest.mark.usefixtures("windows", "checkpoints")
@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_range_is_that_of_the_disk(scene: DeltaWorld, reader: Reader, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(WRITES, RANGES, st.integers(0, 2**32))
    def check(writes: list[tuple[int, int, bool]], ranges: list[tuple[int, int]], seed: int) -> None:
        guest, numbers = scene.guest(), random.Random(seed)
        before = bytes(guest.disk)
        for block, blocks, is_zero in writes:
            count = min(blocks, 301 - block)
            before = bytes(guest.disk)
            guest.write(block, None if is_zero else numbers.randbytes(count * BLOCK), count)
        target, older = disk_of(guest), disk_of(guest, guest.generation - 1)
        assert read(reader, target) == guest.disk
        assert read(reader, older) == before
        for start, length in ranges:
            wanted = ByteRange(start, min(start + length, len(BASE)))
            assert read(reader, target, wanted) == guest.disk[wanted.start : wanted.stop]
            is_zero = reader.is_zero(target, wanted)
            assert not is_zero or not any(guest.disk[wanted.start : wanted.stop])

    check()


@pytest.mark.usefixtures("checkpoints")
def test_adjacent_commits_above_a_run_of_the_checkpoint(scene: DeltaWorld, reader: Reader) -> None:
    """They leave no bytes of the run: a store that is asked for none answers with an error."""
    guest = scene.guest()
    for block, blocks in ((10, 3), (100, 1), (200, 1), (10, 1), (11, 2)):
        guest.write(block, bytes([guest.generation + 1]) * blocks * BLOCK)
    assert guest.row.checkpoint_generation == 3
    target = disk_of(guest)
    assert read(reader, target) == guest.disk
    within = ByteRange(10 * BLOCK + 1, 12 * BLOCK + 1)
    assert read(reader, target, within) == guest.disk[within.start : within.stop]


def fragmented(scene: DeltaWorld) -> Guest:
    """Every other block is the delta's, of three segments."""
    guest = scene.guest()
    for first in (1, 101, 201):
        extents = [(block, bytes([block % 255 + 1]) * BLOCK) for block in range(first, first + 98, 2)]
        guest.write_many(extents)
    return guest


def test_adjacent_small_parts_are_read_with_few_requests(
    scene: DeltaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, keys = fragmented(scene), list[str]()
    target = disk_of(guest)
    opened = scene.world.store.open

    def count(key: str, **more: Any) -> OpenObject:
        keys.append(key)
        return opened(key, **more)

    monkeypatch.setattr(scene.world.store, "open", count)
    assert read(Reader(scene.world.store), target) == guest.disk
    # The base once, and each segment once.
    assert len(keys) == len(set(keys)) == 4


def test_zeros_need_no_store(scene: DeltaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the delta and those that the base is known to have, next to each other."""
    world = scene.world
    image = world.make_image(bytes(2**20))
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert write_zero_map(world.store, world.catalog, record, 2**20, [(0, 2**20)])
    guest = DeltaWorld(world, scene.services, image.image_id, bytes(2**20)).guest()
    guest.write(10, b"\1" * BLOCK)
    guest.write(600, None, 200)
    target, reader = disk_of(guest), Reader(world.store)
    assert reader.is_zero(target, ByteRange(0, 10 * BLOCK))
    assert not reader.is_zero(target, ByteRange(0, 11 * BLOCK))
    assert reader.is_zero(target, ByteRange(11 * BLOCK, 2**20))

    def refuse(key: str, **_: object) -> None:
        raise AssertionError(f"{key} was read")

    monkeypatch.setattr(world.store, "open", refuse)
    assert read(reader, target, ByteRange(590 * BLOCK, 810 * BLOCK)) == bytes(220 * BLOCK)


def take(body: Body, received: bytearray) -> None:
    for block in body:
        received.extend(block)


def segment_keys(guest: Guest) -> list[str]:
    record = guest.world.catalog.find(guest.row.image_id)
    assert record is not None
    commits = guest.world.catalog.deltas.find_commits(guest.delta_id, after=0, upto=guest.generation)
    return [record.location.delta_key(guest.delta_id, commit.name) for commit in commits]


def damage(guest: Guest, number: int, how: str) -> None:
    """Delete or replace the segment of a commit, as nobody should."""
    key = segment_keys(guest)[number]
    if how == "missing":
        guest.world.store.delete(key)
    else:
        guest.world.replace_object(key, bytes(4096))


@pytest.mark.parametrize("how", ["missing", "replaced"])
def test_a_damaged_segment_is_an_error_before_the_first_byte(
    scene: DeltaWorld, reader: Reader, how: str
) -> None:
    guest = fragmented(scene)
    target = disk_of(guest)
    damage(guest, 0, how)
    with pytest.raises(StoreError, match="a segment of the delta"):
        read(reader, target)
    with pytest.raises(StoreError, match="a segment of the delta"):
        read(reader, target, ByteRange(BLOCK, 2 * BLOCK))
    # What does not need it can be read.
    assert read(reader, target, ByteRange(0, BLOCK)) == BASE[:BLOCK]


@pytest.mark.parametrize("how", ["missing", "replaced"])
def test_a_damaged_segment_later_breaks_the_body(
    scene: DeltaWorld, reader: Reader, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "WINDOW_BYTES", 50 * BLOCK)
    guest = fragmented(scene)
    target = disk_of(guest)
    damage(guest, 2, how)
    answer = reader.read(target, ReadRequest(None, Conditions()))
    assert answer.body is not None
    received = bytearray()
    with pytest.raises(BodyBroken):
        take(answer.body, received)
    answer.body.close()
    assert received
    assert received == guest.disk[: len(received)]


def test_a_base_that_was_replaced_or_is_gone_is_an_error(lasting: World) -> None:
    image = lasting.make_image(BASE)
    guest = DeltaWorld(lasting, make_services(lasting), image.image_id, BASE).guest()
    guest.write(0, b"\2" * BLOCK)
    target, reader = disk_of(guest), Reader(lasting.store)
    lasting.replace_object(image.key, bytes(len(BASE)))
    head = ReadRequest(None, Conditions(), head=True)
    for request in (ReadRequest(None, Conditions()), ReadRequest("bytes=5000-5099", Conditions()), head):
        with pytest.raises(StoreError):
            reader.read(target, request)
    lasting.store.delete(image.key)
    for request in (ReadRequest(None, Conditions()), head):
        with pytest.raises(NotFound):
            reader.read(target, request)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_body_that_the_store_cuts_off_is_never_complete(
    scene: DeltaWorld, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    if not is_first:
        monkeypatch.setattr(overlay, "WINDOW_BYTES", 50 * BLOCK)
    guest = fragmented(scene)
    target, cut = disk_of(guest), segment_keys(guest)[0 if is_first else 2]
    opened = scene.world.store.open

    def open_cut(key: str, **more: Any) -> OpenObject:
        found = opened(key, **more)
        if key == cut:
            found.body.close()
            monkeypatch.setattr(found.body, "_reopen", None)
            monkeypatch.setattr(found.body, "_read", lambda amount: b"")
        return found

    monkeypatch.setattr(scene.world.store, "open", open_cut)
    reader = Reader(scene.world.store)
    if is_first:
        with pytest.raises(StoreUnavailable):
            read(reader, target)
    else:
        with pytest.raises(BodyBroken):
            read(reader, target)


def test_names_of_representations(scene: DeltaWorld) -> None:
    guest = scene.guest()
    first = disk_of(guest)
    guest.write(0, b"\3" * BLOCK)
    second = disk_of(guest)
    version = guest.row.version
    assert first.etag == f'"{version}.{guest.delta_id}.0"'
    assert second.etag == f'"{version}.{guest.delta_id}.1"'
    assert second.last_modified is None
    assert Reader(scene.world.store).sign(replace(second), Conditions()) is None
    assert (second.is_fixed, disk_of(guest, 1).is_fixed) == (False, True)
    with pytest.raises(NotFound, match="there is no generation 2"):
        disk_of(guest, 2)
