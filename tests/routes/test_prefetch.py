"""The boot trace in stream-url, and its end with the image."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from image_gateway.protocol.boot_trace import BLOCK_SIZE, BootTrace
from image_gateway.services.boot_traces import MAX_PREFETCH_BLOCKS, BootTraces
from tests.support.clock import Clock
from tests.support.records import NOW
from tests.support.world import Image, World

SIZE = 3 * BLOCK_SIZE + 1


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(bytes(SIZE))


def store_trace(world: World, image: Image, *ranges: tuple[int, int]) -> None:
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert world.catalog.boot_traces.replace(record.image_id, record.version, BootTrace(ranges), NOW)


def prefetch(world: World, image: Image) -> object:
    response = world.request("GET", image.path("stream-url"))
    assert response.status_code == 200
    return response.get_json().get("prefetch")


def test_a_trace_is_handed_to_clients(world: World, image: Image) -> None:
    assert prefetch(world, image) is None
    # Of a disk that was once larger, as no disk of the gateway can be.
    store_trace(world, image, (3, 7), (0, 2))
    assert prefetch(world, image) == {"blockSize": 65_536, "blocks": [3, 0, 1]}
    assert world.catalog.boot_traces.delete(image.image_id)
    assert prefetch(world, image) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway_auth_mode": "cookie"},
        {"auth_mode": "none"},
        {"range_cache_dir": None, "access_cache_seconds": 5},
    ],
)
def test_every_kind_of_stream_url_has_it(world: World, changes: dict[str, object]) -> None:
    chosen = world.with_settings(**changes)
    image = chosen.make_image(bytes(SIZE))
    store_trace(chosen, image, (1, 1))
    assert prefetch(chosen, image) == {"blockSize": 65_536, "blocks": [1]}


def test_the_list_is_bounded(world: World, image: Image) -> None:
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert record.disk is not None
    store_trace(world, image, (0, 3))
    traces = BootTraces(world.catalog.boot_traces, 0, Clock())
    assert traces.prefetch_blocks(record, record.disk, 512) == list(range(3 * BLOCK_SIZE // 512))
    assert len(traces.prefetch_blocks(record, record.disk, 16)) == MAX_PREFETCH_BLOCKS
    assert traces.prefetch_blocks(record, record.disk, 16, most=2) == [0, 1]


def test_a_trace_is_remembered_for_a_while(world: World, image: Image) -> None:
    record, clock, asked = world.catalog.find(image.image_id), Clock(), []
    assert record is not None
    assert record.disk is not None
    traces = BootTraces(world.catalog.boot_traces, 2, clock)
    event.listen(world.catalog.boot_traces._prepared._engine, "checkout", lambda *_: asked.append(1))
    for _ in range(3):
        assert traces.prefetch_blocks(record, record.disk, BLOCK_SIZE) == []
    assert len(asked) == 1
    store_trace(world, image, (0, 1))
    asked.clear()
    assert traces.prefetch_blocks(record, record.disk, BLOCK_SIZE) == []
    clock.now += 2
    for _ in range(3):
        assert traces.prefetch_blocks(record, record.disk, BLOCK_SIZE) == [0]
    assert len(asked) == 1


def test_a_trace_ends_with_its_image(world: World, image: Image) -> None:
    record = world.catalog.find(image.image_id)
    assert record is not None
    store_trace(world, image, (0, 1))
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    assert world.catalog.boot_traces.find(record.image_id, record.version) is None
