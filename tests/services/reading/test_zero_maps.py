"""Maps are loaded once, and what cannot be loaded costs a reader nothing but the store's answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.domain.images import ImageState
from image_gateway.errors import StoreUnavailable
from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.zero_map import BLOCK_SIZE, MAX_OBJECT_BYTES, make_zero_map
from image_gateway.services.reading import zero_maps as zero_maps_module
from image_gateway.services.reading.zero_maps import (
    RETRY_SECONDS,
    ZeroBody,
    ZeroMapRef,
    ZeroMaps,
    write_zero_map,
)
from image_gateway.storage.object_reads import OpenObject
from image_gateway.storage.objects import ObjectStore
from tests.support.clock import Clock
from tests.support.numbers import Numbers
from tests.support.records import DISK, FREE, IMAGE_ID, NOW, make_record
from tests.support.world import World

SIZE = 4 * BLOCK_SIZE
ZEROS = ByteRange(BLOCK_SIZE, 3 * BLOCK_SIZE)
DATA = make_zero_map(SIZE, [(ZEROS.start, ZEROS.stop)]).to_bytes()
KEY = "images/zeros"
REF = ZeroMapRef(KEY, len(DATA), SIZE)


class WatchedStore(ObjectStore):
    """Notes what is opened; `before` runs first."""

    opened: list[str]
    before: Callable[[], None]

    def open(self, key: str, **options: object) -> OpenObject:
        self.opened.append(key)
        self.before()
        return super().open(key, **options)  # type: ignore[arg-type]


@pytest.fixture
def store(world: World) -> WatchedStore:
    store = WatchedStore(world.clients)
    store.opened, store.before = [], lambda: None
    put(store, DATA)
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def maps(store: WatchedStore, clock: Clock) -> ZeroMaps:
    return ZeroMaps(store, clock)


def put(store: ObjectStore, data: bytes, key: str = KEY) -> None:
    store.put(key, data, content_type="application/octet-stream", cache_control="no-store")


def test_a_map_is_loaded_once(maps: ZeroMaps, store: WatchedStore) -> None:
    for _ in range(3):
        assert maps.is_zero(REF, ZEROS)
        assert not maps.is_zero(REF, ByteRange(ZEROS.start - 1, ZEROS.stop))
        assert not maps.is_zero(REF, ByteRange(ZEROS.start, ZEROS.stop + 1))
    assert store.opened == [KEY]


def test_the_offset_of_a_representation_counts(maps: ZeroMaps) -> None:
    chunk = replace(REF, offset=BLOCK_SIZE)
    assert maps.is_zero(chunk, ByteRange(0, 2 * BLOCK_SIZE))
    assert not maps.is_zero(chunk, ByteRange(2 * BLOCK_SIZE, 2 * BLOCK_SIZE + 1))
    assert not maps.is_zero(replace(REF, offset=0), ByteRange(0, 1))


@pytest.mark.parametrize(
    ("data", "ref"),
    [
        (None, REF),
        (DATA[:-1], REF),
        (DATA[:-1], replace(REF, object_size=len(DATA) - 1)),
        (b"x" * len(DATA), REF),
        (DATA, replace(REF, disk_size=SIZE + 1)),
        (DATA, replace(REF, object_size=MAX_OBJECT_BYTES + 1)),
    ],
    ids=["missing", "other size", "cut", "corrupt", "other disk", "too large"],
)
def test_a_map_that_cannot_be_used_is_logged_and_tried_again_after_a_pause(
    maps: ZeroMaps,
    store: WatchedStore,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    data: bytes | None,
    ref: ZeroMapRef,
) -> None:
    store.delete(KEY) if data is None else put(store, data)
    for attempt in (1, 2):
        for _ in range(3):
            assert not maps.is_zero(ref, ZEROS)
        assert caplog.text.count(f"the zero map {KEY} cannot be used") == attempt
        clock.now += RETRY_SECONDS - 1
        assert not maps.is_zero(ref, ZEROS)
        assert caplog.text.count("cannot be used") == attempt
        clock.now += 1
    put(store, DATA)
    assert maps.is_zero(REF, ZEROS)


def test_a_store_that_does_not_answer_is_no_error(maps: ZeroMaps, store: WatchedStore, clock: Clock) -> None:
    def fail() -> None:
        raise StoreUnavailable("no answer")

    store.before = fail
    assert not maps.is_zero(REF, ZEROS)
    store.before = lambda: None
    assert not maps.is_zero(REF, ZEROS)
    assert store.opened == [KEY]
    clock.now += RETRY_SECONDS
    assert maps.is_zero(REF, ZEROS)


def test_an_unforeseen_error_does_not_leave_a_load_open(
    maps: ZeroMaps, store: WatchedStore, clock: Clock
) -> None:
    def fail() -> None:
        raise MemoryError

    store.before = fail
    with pytest.raises(MemoryError):
        maps.is_zero(REF, ZEROS)
    store.before = lambda: None
    clock.now += RETRY_SECONDS
    assert maps.is_zero(REF, ZEROS)


def test_one_load_at_a_time_and_nobody_waits_for_it(maps: ZeroMaps, store: WatchedStore) -> None:
    loading, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        loading.set()
        assert may_go_on.wait(10)

    store.before = hold
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(maps.is_zero, REF, ZEROS)
        assert loading.wait(10)
        others = [pool.submit(maps.is_zero, REF, ZEROS) for _ in range(8)]
        assert [other.result(10) for other in others] == [False] * 8
        may_go_on.set()
        assert first.result(10)
    assert maps.is_zero(REF, ZEROS)
    assert store.opened == [KEY]


def test_many_threads_load_each_map_once(maps: ZeroMaps, store: WatchedStore) -> None:
    refs = [replace(REF, key=f"images/{number}") for number in range(5)]
    for ref in refs:
        put(store, DATA, ref.key)
    barrier = threading.Barrier(8)

    def read() -> None:
        barrier.wait(10)
        for ref in refs:
            maps.is_zero(ref, ZEROS)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(read) for _ in range(8)]:
            done.result(30)
    assert sorted(store.opened) == [ref.key for ref in refs]
    assert all(maps.is_zero(ref, ZEROS) for ref in refs)


def test_the_cache_is_bounded_in_bytes(
    store: WatchedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each bitmap has one byte.
    monkeypatch.setattr(zero_maps_module, "CACHE_BYTES", 2)
    maps = ZeroMaps(store, clock)
    refs = [replace(REF, key=f"images/{number}") for number in range(3)]
    for ref in refs:
        put(store, DATA, ref.key)
        assert maps.is_zero(ref, ZEROS)
    assert maps.is_zero(refs[2], ZEROS)
    assert maps.is_zero(refs[1], ZEROS)
    assert len(store.opened) == 3
    assert maps.is_zero(refs[0], ZEROS)
    assert len(store.opened) == 4


def test_a_body_of_zeros() -> None:
    numbers = Numbers()
    body = ZeroBody(600 * 1024)
    body.begin()
    blocks = list(body)
    assert [len(block) for block in blocks] == [256 * 1024, 256 * 1024, 88 * 1024]
    assert b"".join(blocks) == bytes(600 * 1024)
    body.close()
    assert list(body) == []
    assert body.file is None
    cut = ZeroBody(10**12)
    next(cut)
    cut.close()
    cut.close()
    assert list(cut) == []
    assert numbers.added("zero_reads_total") == 2
    assert numbers.added("zero_bytes_total") == (600 + 256) * 1024


def test_a_map_is_written_and_recorded(world: World, catalog: Catalog) -> None:
    record = make_record()
    catalog.add(record, FREE)
    catalog.complete(IMAGE_ID, "u1", DISK, NOW)
    assert write_zero_map(world.store, catalog, record, SIZE, [(ZEROS.start, ZEROS.stop)])
    written = catalog.find(IMAGE_ID)
    assert written is not None
    assert (written.zero_map_bytes, written.revision) == (len(DATA), 2)
    assert world.store.open(record.location.zero_map_key).body.read_all() == DATA


def test_a_disk_without_zero_blocks_has_no_map(world: World, catalog: Catalog) -> None:
    record = make_record()
    catalog.add(record, FREE)
    assert write_zero_map(world.store, catalog, record, SIZE, [(1, BLOCK_SIZE), (SIZE - 1, SIZE)])
    assert list(world.store.list_objects("")) == []
    # One that was recorded before is not used any more.
    assert catalog.set_zero_map(IMAGE_ID, record.version, 7)
    known = catalog.find(IMAGE_ID)
    assert known is not None
    assert write_zero_map(world.store, catalog, known, SIZE, [])
    again = catalog.find(IMAGE_ID)
    assert again is not None
    assert again.zero_map_bytes is None


def test_no_map_is_recorded_for_a_deleted_image_or_another_version(world: World, catalog: Catalog) -> None:
    record = make_record()
    catalog.add(record, FREE)
    other = replace(record, version="0" * 16)
    assert not write_zero_map(world.store, catalog, other, SIZE, [(0, SIZE)])
    assert catalog.delete(IMAGE_ID, NOW)
    assert not write_zero_map(world.store, catalog, record, SIZE, [(0, SIZE)])
    deleted = catalog.find(IMAGE_ID)
    assert deleted is not None
    assert (deleted.state, deleted.zero_map_bytes) == (ImageState.DELETED, None)
