"""The blocks of a deleted image leave each machine's disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.services.sweep_report import SweepReport
from image_gateway.services.sweeping import Sweeper
from tests.support.delta_world import DeltaWorld, make_services
from tests.support.world import Image, World

pytestmark = pytest.mark.database

SIZE = 3 * 65_536


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The disks of two machines."""
    return tmp_path / "one", tmp_path / "other"


def machine(world: World, folder: Path) -> World:
    """A gateway with this cache; nothing is read ahead, in threads that could outlast the database."""
    return world.with_settings(
        range_cache_dir=str(folder), range_cache_block_bytes=65_536, read_ahead_bytes=0
    )


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "v1" / "blocks").rglob("*") if path.is_file()]


def cached_image(world: World, *folders: Path) -> Image:
    image = world.make_image(bytes(range(256)) * (SIZE // 256))
    for folder in folders:
        assert machine(world, folder).request("GET", image.path("range")).data == image.data
        assert len(files(folder)) == 3
    return image


def test_the_next_look_up_removes_them_on_every_machine(world: World, folders: tuple[Path, Path]) -> None:
    image, kept = cached_image(world, *folders), world.make_image(b"\x01" * 65_536)
    for folder in folders:
        machine(world, folder).request("GET", kept.path("range"))
    assert world.request("DELETE", f"/v1/images/{image.image_id}").status_code == 200
    for folder in folders:
        assert len(files(folder)) == 4
        assert machine(world, folder).request("GET", image.path("range")).status_code == 404
        assert len(files(folder)) == 1
        assert machine(world, folder).request("GET", kept.path("range")).data == kept.data


def test_blocks_of_deltas_go_with_their_image(world: World, folders: tuple[Path, Path]) -> None:
    image, reader = cached_image(world, folders[0]), machine(world, folders[0])
    guest = DeltaWorld(world, make_services(world), image.image_id, image.data).guest()
    guest.write(0, b"\x02" * 512)
    path = f"/v1/deltas/{guest.delta_id}/disk.img"
    assert reader.request("GET", path).data == guest.disk
    assert len(files(folders[0])) == 4
    deletion = world.request("DELETE", f"/v1/images/{image.image_id}", query_string={"cascade": "true"})
    assert deletion.status_code == 200
    assert reader.request("GET", path).status_code == 404
    assert files(folders[0]) == []


def test_a_sweep_removes_them_where_nobody_asks(world: World, folders: tuple[Path, Path]) -> None:
    image, kept = cached_image(world, *folders), world.make_image(b"\x01" * 65_536)
    machine(world, folders[0]).request("GET", kept.path("range"))
    world.request("DELETE", f"/v1/images/{image.image_id}")
    for folder, left in zip(folders, (1, 0), strict=True):
        cache = BlockCache(folder, 2**30, 65_536)
        sweeper = Sweeper(world.catalog, world.store, "/images", time.time, cache)
        assert sweeper.sweep_cache(SweepReport(), dry_run=True).uncached_images == 1
        assert sweeper.sweep().uncached_images == 1
        assert len(files(folder)) == left
        assert sweeper.sweep().uncached_images == 0


def test_chunks_go_as_well(world: World, folders: tuple[Path, Path]) -> None:
    image = cached_image(world, folders[0])
    world.publish(image, 65_536)
    reader = machine(world, folders[0])
    for index in range(3):
        assert reader.request("GET", image.path(f"chunked/chunks/{index}")).status_code == 200
    assert len(files(folders[0])) == 6
    world.request("DELETE", f"/v1/images/{image.image_id}")
    assert reader.request("GET", image.path("chunked/chunks/0")).status_code == 404
    assert files(folders[0]) == []
