"""Ranges and chunks of zeros are answered without the store, and equal the object's bytes."""

from __future__ import annotations

import pytest

from image_gateway.catalog.repository import Catalog
from image_gateway.protocol.zero_map import BLOCK_SIZE
from image_gateway.services.reading.zero_maps import write_zero_map
from tests.support.numbers import Numbers
from tests.support.world import World
from tests.support.zero_regions import CHUNK, Zeros, make_data

# Blocks of zeros (.) and of data (#), and a short last one of zeros.
PATTERN = "..##.#....#"
DATA = make_data(PATTERN, 512)


@pytest.fixture
def zeros(world: World) -> Zeros:
    return Zeros.over(world)


def test_every_boundary(zeros: Zeros) -> None:
    image = zeros.make_loaded(DATA)
    edges = [index * BLOCK_SIZE for index in range(1, len(PATTERN) + 1)]
    for edge in edges:
        for start, stop in [(edge - 1, edge), (edge, edge + 1), (edge - 1, edge + 1)]:
            data, calls = zeros.read(image, start, stop)
            marks = {(PATTERN + ".")[start // BLOCK_SIZE], (PATTERN + ".")[(stop - 1) // BLOCK_SIZE]}
            assert data == DATA[start:stop]
            assert calls == (marks != {"."}), (start, stop)


def test_long_ranges(zeros: Zeros) -> None:
    image = zeros.make_loaded(DATA)
    first, stop = 6 * BLOCK_SIZE, 10 * BLOCK_SIZE
    assert zeros.read(image, first, stop) == (bytes(stop - first), 0)
    assert zeros.read(image, first - 1, stop) == (DATA[first - 1 : stop], 1)
    assert zeros.read(image, first, stop + 1) == (DATA[first : stop + 1], 1)
    assert zeros.read(image, 0, len(DATA)) == (DATA, 1)


def test_the_answer_is_that_of_the_store(zeros: Zeros) -> None:
    """But for the store's call."""
    image = zeros.make_loaded(DATA)
    key = zeros.map_key(image)
    requests: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "range", {"Range": "bytes=0-65535"}),
        ("GET", "range", {"Range": "bytes=0-65535", "If-Range": image.etag}),
        ("GET", "range", {"Range": "bytes=0-9", "If-None-Match": image.etag}),
        ("GET", "range", {"Range": "bytes=0-9", "If-Match": '"other"'}),
        ("GET", "range", {"Range": f"bytes={len(DATA)}-"}),
        ("HEAD", "range", {}),
        ("GET", "chunked/manifest", {}),
        ("GET", "chunked/chunks/2", {"Range": f"bytes=0-{BLOCK_SIZE - 1}"}),
    ]
    answers = []
    for world in (zeros.world, zeros.world.with_settings()):
        answers.append(
            [
                (response.status_code, response.data, sorted(clean(dict(response.headers))))
                for method, path, headers in requests
                for response in [world.request(method, image.path(path), headers=headers)]
            ]
        )
        # The second gateway finds no map.
        zeros.store.delete(key)
    assert answers[0] == answers[1]
    assert [answer[0] for answer in answers[0]] == [206, 206, 304, 412, 416, 200, 200, 206]


def clean(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name != "X-Request-Id"]


def test_chunks_of_zeros(zeros: Zeros) -> None:
    data = make_data("####.......#")
    image = zeros.make_loaded(data)
    numbers = Numbers()
    for index, calls in enumerate([1, 0, 1]):
        zeros.store.calls.clear()
        response = zeros.world.request("GET", image.path(f"chunked/chunks/{index}"))
        assert (response.status_code, response.data) == (200, data[index * CHUNK : (index + 1) * CHUNK])
        assert len(zeros.store.calls) == calls
    assert numbers.added("zero_reads_total") == 1
    assert numbers.added("zero_bytes_total") == CHUNK
    # A part of a chunk that holds data elsewhere.
    headers = {"Range": f"bytes=0-{3 * BLOCK_SIZE - 1}"}
    zeros.store.calls.clear()
    response = zeros.world.request("GET", image.path("chunked/chunks/2"), headers=headers)
    assert (response.status_code, response.data) == (206, bytes(3 * BLOCK_SIZE))
    assert zeros.store.calls == []


def test_a_whole_disk_of_zeros_by_a_lease(zeros: Zeros) -> None:
    image = zeros.make_loaded(bytes(20 * BLOCK_SIZE))
    token = zeros.world.make_lease(image)["token"]
    response = zeros.world.request("GET", f"/v1/l/{token}/disk.img", user=None)
    assert (response.status_code, response.data) == (200, image.data)
    assert zeros.store.calls == []
    assert zeros.world.request("HEAD", image.path("range")).status_code == 200
    assert zeros.store.calls == [image.key]


def test_the_block_cache_is_not_filled_with_zeros(world: World, tmp_path: object) -> None:
    zeros = Zeros.over(world, range_cache_dir=str(tmp_path), range_cache_block_bytes=65_536)
    image = zeros.make_loaded(DATA)
    numbers = Numbers()
    assert zeros.read(image, 0, BLOCK_SIZE) == (bytes(BLOCK_SIZE), 0)
    assert numbers.added("cache_fills_total") == numbers.added("cache_misses_total") == 0
    assert zeros.read(image, 2 * BLOCK_SIZE, 3 * BLOCK_SIZE) == (b"\x5a" * BLOCK_SIZE, 1)
    assert numbers.added("cache_fills_total") == 1


@pytest.mark.parametrize("damage", [None, b"", b"damaged"])
def test_a_damaged_map_costs_nothing_but_the_stores_answer(zeros: Zeros, damage: bytes | None) -> None:
    image = zeros.make_image(DATA)
    key = zeros.map_key(image)
    zeros.store.delete(key) if damage is None else zeros.world.replace_object(key, damage)
    for _ in range(2):
        assert zeros.read(image, 0, BLOCK_SIZE)[0] == bytes(BLOCK_SIZE)
        assert zeros.read(image, 0, len(DATA))[0] == DATA
    assert zeros.store.calls.count(key) == 1
    # Publishing again writes it anew where anything of what it publishes is missing.
    zeros.store.delete(image.key.replace("disk.img", "manifest.json"))
    zeros.world.publish(image, CHUNK)
    fresh = Zeros.over(zeros.world)
    fresh.read(image, 0, 1)
    assert fresh.read(image, 0, BLOCK_SIZE) == (bytes(BLOCK_SIZE), 0)


def test_zeros_stay_those_of_the_version_when_the_object_is_replaced(zeros: Zeros) -> None:
    image = zeros.make_loaded(DATA)
    other = b"\x01" * len(DATA)
    zeros.world.replace_object(image.key, other)
    response = zeros.world.request("GET", image.path("range"), headers={"Range": "bytes=0-9"})
    assert (response.status_code, response.data, response.headers["ETag"]) == (206, bytes(10), image.etag)
    start = 2 * BLOCK_SIZE
    headers = {"Range": f"bytes={start}-{start + 9}"}
    response = zeros.world.request("GET", image.path("range"), headers=headers)
    assert (response.status_code, response.data) == (200, other)
    assert response.headers["ETag"] != image.etag


def test_a_deleted_image_is_gone_with_its_map(zeros: Zeros) -> None:
    image = zeros.make_loaded(DATA)
    key = zeros.map_key(image)
    assert key in [item.key for item in zeros.store.list_objects("")]
    assert zeros.world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    headers = {"Range": "bytes=0-9"}
    assert zeros.world.request("GET", image.path("range"), headers=headers).status_code == 404
    assert list(zeros.store.list_objects("")) == []


def test_a_map_of_a_conversion(zeros: Zeros, catalog: Catalog) -> None:
    """An image that is not published: whoever writes its disk knows its zeros."""
    image = zeros.world.make_image(DATA)
    record = catalog.find(image.image_id)
    assert record is not None
    assert zeros.read(image, 0, BLOCK_SIZE) == (bytes(BLOCK_SIZE), 1)
    assert write_zero_map(zeros.store, catalog, record, len(DATA), [(0, 2 * BLOCK_SIZE)])
    # The map, once.
    assert zeros.read(image, 0, BLOCK_SIZE) == (bytes(BLOCK_SIZE), 1)
    assert zeros.read(image, 0, 2 * BLOCK_SIZE) == (bytes(2 * BLOCK_SIZE), 0)
    assert zeros.read(image, 0, 2 * BLOCK_SIZE + 1) == (DATA[: 2 * BLOCK_SIZE + 1], 1)


def test_an_image_that_was_published_without_a_map_gets_one_of_whole_chunks(zeros: Zeros) -> None:
    image = zeros.make_image(make_data("....#..."))
    record = zeros.world.catalog.find(image.image_id)
    assert record is not None
    assert zeros.world.catalog.set_zero_map(image.image_id, record.version, None)
    zeros.store.delete(record.location.zero_map_key)
    zeros.world.publish(image, CHUNK)
    assert zeros.map_key(image) == record.location.zero_map_key
    zeros.read(image, 0, 1)
    assert zeros.read(image, 0, CHUNK) == (bytes(CHUNK), 0)
    assert zeros.read(image, CHUNK + BLOCK_SIZE, 2 * CHUNK) == (bytes(CHUNK - BLOCK_SIZE), 1)
