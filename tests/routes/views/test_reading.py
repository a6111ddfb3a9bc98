"""Each client reads whole images by its own arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.view_readers import (
    V86,
    Fetch,
    GitHubDevice,
    HttpBytesDevice,
    HttpVfs,
    InfiniteMac,
    TinyEmu,
    native,
    read_offered,
)
from tests.support.world import Image, World

B = 4096
AROUND = [1, B - 1, B, B + 1, 3 * B - 512, 3 * B]
Make = Callable[[int], Image]


@pytest.fixture
def root_of(world: World) -> Callable[[Image], str]:
    return lambda image: f"http://localhost/v1/l/{world.make_lease(image)['token']}"


RootOf = Callable[[Image], str]


def v86_options(url: str, size: int, block: int | None) -> dict[str, object]:
    fixed = {} if block is None else {"fixed_chunk_size": block}
    return {"url": url, "async": True, "size": size, "use_parts": True, **fixed}


@pytest.mark.parametrize("size", AROUND)
@pytest.mark.parametrize("name", ["disk.img", ".img", "disk.img.zst", ".img.zst"])
@pytest.mark.parametrize("block", [1024, B])
def test_v86(fetch: Fetch, make: Make, root_of: RootOf, size: int, name: str, block: int) -> None:
    image = make(size)
    disk = V86(fetch, v86_options(f"{root_of(image)}/v86/{block}/{name}", size, block))
    assert disk.image() == image.data
    last = (size - 1) // block * block
    assert disk.part(last, last + block) == image.data[last:].ljust(block, b"\0")


@pytest.mark.parametrize("size", AROUND)
def test_v86_without_a_chunk_size(fetch: Fetch, make: Make, root_of: RootOf, size: int) -> None:
    image = make(size)
    disk = V86(fetch, v86_options(f"{root_of(image)}/v86/any/disk.img", size, None))
    for offset, length in [(0, size), (size // 2, size - size // 2), (size - 1, 1), (0, 1)]:
        assert disk.read(offset, length) == image.data[offset : offset + length]


@pytest.mark.parametrize("size", AROUND)
@pytest.mark.parametrize("kib", [1, 4, 8])
def test_tinyemu(fetch: Fetch, make: Make, root_of: RootOf, size: int, kib: int) -> None:
    image = make(size)
    disk = TinyEmu(fetch, f"{root_of(image)}/tinyemu/{kib}/blk.txt?ignored=1".partition("?")[0])
    padded = -(-size // (kib * 1024)) * kib * 1024
    assert disk.padded_image() == image.data.ljust(padded, b"\0")
    assert disk.prefetched() == {}


@pytest.mark.parametrize("size", AROUND)
@pytest.mark.parametrize("block", [512, B])
def test_infinite_mac(fetch: Fetch, make: Make, root_of: RootOf, size: int, block: int) -> None:
    image = make(size)
    base = f"{root_of(image)}/infinite-mac/{block}"
    disk = InfiniteMac(fetch, f"{base}/manifest.json", base)
    assert (disk.image(), disk.spec["totalSize"]) == (image.data, size)
    assert len(disk.chunk(len(disk.spec["chunks"]) - 1)) == (size - 1) % block + 1


@pytest.mark.parametrize("size", [1, 131_071, 131_072, 131_073, 300_032])
def test_webvm(fetch: Fetch, make: Make, root_of: RootOf, size: int) -> None:
    image = make(size)
    assert GitHubDevice(fetch, f"{root_of(image)}/webvm/disk.ext2").image() == image.data


@pytest.mark.parametrize("size", [2, 131_071, 131_072, 131_073, 300_032])
def test_webvm_by_ranges(fetch: Fetch, make: Make, root_of: RootOf, size: int) -> None:
    image = make(size)
    assert HttpBytesDevice(fetch, f"{root_of(image)}/webvm/bytes/disk.ext2").image() == image.data


@pytest.mark.parametrize("size", [B, 3 * B, 300_032])
@pytest.mark.parametrize("block", ["full", "512", "4096", "65536"])
def test_sqlite(fetch: Fetch, make: Make, root_of: RootOf, size: int, block: str) -> None:
    image = make(size)
    database = HttpVfs(fetch, f"{root_of(image)}/sqlite/{block}/config.json")
    assert (database.image(), database.size) == (image.data, size)


@pytest.mark.parametrize("name", ["disk.img", "My%20Disk.raw", "%C3%A9.iso"])
def test_native_readers(fetch: Fetch, make: Make, root_of: RootOf, name: str) -> None:
    image = make(300_032)
    assert native(fetch, f"{root_of(image)}/raw/{name}") == image.data


@pytest.mark.parametrize("is_public", [False, True], ids=["leased", "public"])
def test_what_is_offered_can_be_read(fetch: Fetch, world: World, image: Image, is_public: bool) -> None:
    if is_public:
        copy = world.make_image(image.data)
        world.show_to(copy, "public")
        everyone = world.with_settings(auth_mode="none")
        views = everyone.request("GET", copy.path("stream-url"), user=None).get_json()["views"]
        assert f"/v1/images/{copy.image_id}/views/" in views["webvm"]["url"]
    else:
        views = world.request("GET", image.path("stream-url")).get_json()["views"]
    assert set(read_offered(fetch, views).values()) == {image.data}
