"""The boot trace in stream-url, and its end with the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from image_gateway.protocol.boot_trace import BLOCK_SIZE, MAX_BLOCKS, BootTrace
from image_gateway.protocol.ranges import ByteRange
from image_gateway.services.boot_traces import MAX_PREFETCH_BLOCKS, BootTraces
from tests.support.clock import Clock
from tests.support.fake_store import wait_for
from tests.support.records import NOW
from tests.support.world import Image, World

SIZE = 3 * BLOCK_SIZE + 512


@pytest.fixture
def image(world: World) -> Image:
    return world.make_image(b"x" * SIZE)


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
    image = chosen.make_image(b"x" * SIZE)
    store_trace(chosen, image, (1, 1))
    assert prefetch(chosen, image) == {"blockSize": 65_536, "blocks": [1]}


def test_the_list_is_bounded(world: World, image: Image) -> None:
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert record.disk is not None
    disk = replace(record.disk, size=MAX_BLOCKS * BLOCK_SIZE)
    most = MAX_PREFETCH_BLOCKS - 1
    store_trace(world, image, (9, 1), (10_000, most + 1), (0, 1))
    traces = BootTraces(world.catalog.boot_traces, 0, Clock())
    assert traces.prefetch_blocks(record, disk) == (9, *range(10_000, 10_000 + most))
    assert traces.prefetch_ranges(record, disk) == (
        ByteRange(9 * BLOCK_SIZE, 10 * BLOCK_SIZE),
        ByteRange(10_000 * BLOCK_SIZE, (10_000 + most) * BLOCK_SIZE),
    )


def test_a_trace_is_remembered_for_a_while(world: World, image: Image) -> None:
    record, clock, asked = world.catalog.find(image.image_id), Clock(), []
    assert record is not None
    assert record.disk is not None
    traces = BootTraces(world.catalog.boot_traces, 2, clock)
    event.listen(world.catalog.boot_traces._prepared._engine, "checkout", lambda *_: asked.append(1))
    for _ in range(3):
        assert traces.prefetch_blocks(record, record.disk) == ()
    assert len(asked) == 1
    store_trace(world, image, (0, 1))
    asked.clear()
    assert traces.prefetch_blocks(record, record.disk) == ()
    clock.now += 2
    for _ in range(3):
        assert traces.prefetch_blocks(record, record.disk) == (0,)
    assert len(asked) == 1


@pytest.mark.parametrize(("most", "expected"), [(0, 1), (BLOCK_SIZE, 3), (16 * 2**20, 4)])
def test_the_block_cache_is_filled_ahead(
    world: World, image: Image, tmp_path: Path, most: int, expected: int
) -> None:
    """After two reads in the order of the trace, as far as the setting goes."""
    cached = world.with_settings(
        range_cache_dir=str(tmp_path), range_cache_block_bytes=BLOCK_SIZE, read_ahead_bytes=most
    )
    world.publish(image, BLOCK_SIZE)
    store_trace(cached, image, (0, 4))

    def read(path: str, headers: dict[str, str]) -> None:
        assert cached.request("GET", image.path(path), headers=headers).status_code in (200, 206)

    def filled() -> int:
        return len([path for path in (tmp_path / "v1/blocks").rglob("*") if path.is_file()])

    first, second = {"Range": "bytes=0-0"}, {"Range": f"bytes={BLOCK_SIZE}-{BLOCK_SIZE}"}
    if most:
        # The first read looks the trace up, later ones follow it.
        wait_for(lambda: (read("range", first), read("range", second), filled() >= expected)[-1])
    read("range", first)
    before = filled()
    assert before == expected
    # Chunks are objects of their own.
    for chunk in range(3):
        read(f"chunked/chunks/{chunk}", {})
    assert filled() == before + 3


def test_a_trace_ends_with_its_image(world: World, image: Image) -> None:
    record = world.catalog.find(image.image_id)
    assert record is not None
    store_trace(world, image, (0, 1))
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    assert world.catalog.boot_traces.find(record.image_id, record.version) is None
