"""Headers of views: validators, caching, and what must not be there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.routes.views.conftest import SIZE
from tests.support.world import Image, World

FILES = [
    "v86/262144/disk-0-262144.img",
    "v86/262144/disk-262144-524288.img",
    "v86/262144/disk-262144-524288.img.zst",
    "v86/any/disk-512-1024.img",
    "tinyemu/256/blk.txt",
    "tinyemu/256/blk000000001.bin",
    "infinite-mac/262144/manifest.json",
    "infinite-mac/262144/1.chunk",
    "webvm/disk.ext2.meta",
    "webvm/disk.ext2.c000003.txt",
    "sqlite/65536/config.json",
    "sqlite/full/config.json",
    "sqlite/65536/db.001",
]
DISKS = ["webvm/bytes/disk.ext2", "raw/disk.img"]
DOCUMENTS = ("blk.txt", ".json")
ROOTS = ["leased", "named"]
PathOf = Callable[[str], str]


@pytest.fixture(params=ROOTS)
def path_of(request: pytest.FixtureRequest, image: Image, token: str) -> PathOf:
    root = f"/v1/l/{token}" if request.param == "leased" else image.path("views")
    return lambda file: f"{root}/{file}"


@pytest.mark.parametrize("file", [*FILES, *DISKS])
def test_head_is_get_without_the_body(world: World, path_of: PathOf, file: str) -> None:
    get, head = (world.request(method, path_of(file)) for method in ("GET", "HEAD"))
    assert (get.status_code, head.status_code, head.data) == (200, 200, b"")
    of_the_moment = "X-Request-Id"
    assert [item for item in get.headers if item[0] != of_the_moment] == [
        item for item in head.headers if item[0] != of_the_moment
    ]
    assert get.headers["Content-Length"] == str(len(get.data))


@pytest.mark.parametrize("file", [*FILES, *DISKS])
def test_what_is_not_there(world: World, path_of: PathOf, file: str) -> None:
    etag = world.request("HEAD", path_of(file)).headers["ETag"]
    requests = [
        {},
        {"If-None-Match": etag},
        {"Range": "bytes=0-9"},
        {"Range": "bytes=x"},
        {"If-Match": '"x"'},
    ]
    for headers in requests:
        response = world.request("GET", path_of(file), headers={**headers, "Accept-Encoding": "gzip, zstd"})
        assert "Content-Encoding" not in response.headers
        assert "Transfer-Encoding" not in response.headers
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "x-error-code" in response.headers["Access-Control-Expose-Headers"]
        if response.status_code < 400:
            assert "no-transform" in response.headers["Cache-Control"]
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-site"


@pytest.mark.parametrize("file", FILES)
def test_conditions(world: World, path_of: PathOf, file: str) -> None:
    etag = world.request("GET", path_of(file)).headers["ETag"]
    assert etag.startswith('"')
    for condition, status in [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f'"x", W/{etag}'}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Match": etag}, 200),
        ({"If-Match": '"x"'}, 412),
    ]:
        for method in ("GET", "HEAD"):
            response = world.request(method, path_of(file), headers=condition)
            assert response.status_code == status, condition
            assert status != 304 or (response.data, response.headers["ETag"]) == (b"", etag)


def test_each_file_has_an_etag_of_its_own(world: World, image: Image) -> None:
    other = world.make_image(image.data)
    of_blocks = [file for file in FILES if not file.endswith(DOCUMENTS)]
    etags = [
        world.request("HEAD", made.path(f"views/{file}")).headers["ETag"]
        for made in (image, other)
        for file in of_blocks
    ]
    assert len(set(etags)) == len(etags)


@pytest.mark.parametrize("file", [file for file in FILES if "/db." not in file])
def test_ranges_are_ignored_but_where_the_client_sends_them(world: World, path_of: PathOf, file: str) -> None:
    response = world.request("GET", path_of(file), headers={"Range": "bytes=0-3"})
    assert response.status_code == 200
    assert response.headers["Accept-Ranges"] == "none"


@pytest.mark.parametrize("start", [0, 1])
def test_a_piece_of_a_database_has_ranges_up_to_the_databases_end(
    world: World, image: Image, path_of: PathOf, start: int
) -> None:
    path, offset = path_of(f"sqlite/65536/db.{start:03d}"), start * 65_536
    size = SIZE - offset
    for header, first, stop in [
        ("bytes=0-4095", 0, 4096),
        ("bytes=65024-131071", 65_024, 131_072),
        (f"bytes=65536-{SIZE}", 65_536, size),
    ]:
        response = world.request("GET", path, headers={"Range": header})
        assert response.status_code == 206
        assert response.data == image.data[offset + first : offset + stop]
        assert response.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{size}"
    beyond = world.request("GET", path, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.data) == (416, b"")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"


LASTING = "max-age=31536000, immutable, no-transform"


@pytest.mark.parametrize("file", FILES)
def test_caching(world: World, file: str) -> None:
    """What is always the same may be kept: by everybody if it is public, else by who has the lease's URL."""
    cached = world.with_settings(image_cache_control="public-immutable")
    image = cached.make_image(bytes(SIZE))
    token = cached.make_lease(image)["token"]
    may_change = file.endswith(DOCUMENTS)

    def control(path: str) -> str:
        return cached.request("GET", path).headers["Cache-Control"]

    no_cache = "private, no-cache, no-transform"
    assert control(image.path(f"views/{file}")) == no_cache
    assert control(f"/v1/l/{token}/{file}") == (no_cache if may_change else f"private, {LASTING}")
    cached.show_to(image, "public")
    public = "public, max-age=300, no-transform" if may_change else f"public, {LASTING}"
    assert control(image.path(f"views/{file}")) == public
    assert control(f"/v1/l/{token}/{file}") == public


def test_what_must_not_be_stored_is_not(world: World, token: str) -> None:
    assert "no-store" in world.settings.cache_control
    response = world.request("GET", f"/v1/l/{token}/{FILES[0]}", user=None)
    assert response.headers["Cache-Control"] == "private, no-store, no-transform"


@pytest.mark.parametrize("file", [FILES[0], *DISKS])
@pytest.mark.parametrize(
    ("policy", "sent"),
    [("same-origin", "same-site"), ("same-site", "same-site"), ("cross-origin", "cross-origin")],
)
def test_pages_of_emulators_may_read(world: World, image: Image, file: str, policy: str, sent: str) -> None:
    strict = world.with_settings(cross_origin_resource_policy=policy)
    response = strict.request("GET", image.path(f"views/{file}"))
    assert response.headers["Cross-Origin-Resource-Policy"] == sent


def test_a_name_to_save_under(world: World, image: Image, token: str) -> None:
    for method in ("GET", "HEAD"):
        response = world.request(method, f"/v1/l/{token}/raw/My%20Disk.img?download", user=None)
        assert response.headers["Content-Disposition"] == 'attachment; filename="My Disk.img"'
    plain = world.request("GET", f"/v1/l/{token}/raw/My%20Disk.img", user=None)
    assert (plain.data, plain.headers.get("Content-Disposition")) == (image.data, None)
