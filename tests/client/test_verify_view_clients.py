"""What the client of one view refuses: documents, frames, groups, pieces and ranges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.conftest import Run
from tests.client.view_faults import (
    Found,
    Plant,
    answer_with,
    base,
    document,
    found,
    header,
    replace,
    verify,
)
from tests.support.static_image import Answer, StaticServer, serving
from tests.support.static_views import (
    BEYOND,
    BLOCK,
    BLOCKS,
    DATA,
    PIECE,
    ROOT,
    SIZE,
    URLS,
    compress,
    make_views,
    put,
)

BY_RANGES = ("webvm bytes", "sqlite full", "raw")
# What is read of one by ranges.
DISKS = {"webvm bytes": "webvm/bytes/disk.ext2", "sqlite full": "raw/disk.img", "raw": "raw/disk.img"}


@pytest.fixture
def server() -> Iterator[StaticServer]:
    with serving(make_views()) as running:
        yield running


GROUP, TWO_FRAMES = "grp000000000.bin", compress(bytes(BLOCK // 2)) * 2
CONFIG, MANIFEST = "config.json", "manifest.json"
PARTS = BLOCKS["v86 zst"][0]
FAULTS: dict[str, tuple[str, Plant, Found]] = {
    "two frames": ("v86 zst", replace(PARTS, lambda _: TWO_FRAMES), {(base(PARTS), "zstd")}),
    "no frame": ("v86 zst", replace(PARTS, lambda _: bytes(BLOCK)), {(base(PARTS), "zstd")}),
    "cut frame": ("v86 zst", replace(PARTS, lambda data: data[:-1]), {(base(PARTS), "zstd")}),
    "number of blocks": ("tinyemu", document("tinyemu", n_block=6), {("blk.txt", "n_block")}),
    "odd block size": ("tinyemu", document("tinyemu", block_size=65), {("blk.txt", "schema")}),
    "large groups": ("tinyemu", document("tinyemu", prefetch_group_len=33), {("blk.txt", "schema")}),
    "unknown block": ("tinyemu", document("tinyemu", prefetch=[5]), {("blk.txt", "schema")}),
    "order of a group": (
        "tinyemu",
        replace(f"tinyemu/64/{GROUP}", lambda data: data[BLOCK:] + data[:BLOCK]),
        {(GROUP, "padding")},
    ),
    "bytes of a group": (
        "tinyemu",
        replace(f"tinyemu/64/{GROUP}", lambda data: data[:BLOCK] + bytes(BLOCK)),
        {(GROUP, "equality")},
    ),
    "size in a manifest": (
        "infinite-mac",
        document("infinite-mac", totalSize=SIZE - 1),
        {(MANIFEST, "size")},
    ),
    "number of chunks": ("infinite-mac", document("infinite-mac", chunks=["0"]), {(MANIFEST, "schema")}),
    "signature": ("infinite-mac", document("infinite-mac", chunks=["A"] * 5), {(MANIFEST, "schema")}),
    "chunk that is not zeros": (
        "infinite-mac",
        document("infinite-mac", chunks=["0", "", "", "3", "4"]),
        {("chunk 1", "equality")},
    ),
    "no JSON": ("infinite-mac", replace(URLS["infinite-mac"], lambda _: b"[" * 5000), {(MANIFEST, "json")}),
    "size in .meta": (
        "webvm",
        replace("webvm/disk.ext2.meta", lambda _: b"1024"),
        {("disk.ext2.meta", "size")},
    ),
    "no number": ("webvm", replace("webvm/disk.ext2.meta", lambda _: b"0x400"), {("disk.ext2.meta", "size")}),
    "compressed .meta": (
        "webvm",
        header("webvm/disk.ext2.meta", "Content-Encoding", "gzip"),
        {("disk.ext2.meta", "content-encoding")},
    ),
    "mode": ("sqlite", document("sqlite", serverMode="other"), {(CONFIG, "schema")}),
    "database size": ("sqlite", document("sqlite", databaseLengthBytes=SIZE + 1), {(CONFIG, "size")}),
    "suffix": ("sqlite", document("sqlite", suffixLength=0), {(CONFIG, "schema")}),
    "prefix": ("sqlite", document("sqlite", urlPrefix="ftp://host/db."), {(CONFIG, "url")}),
    "clipped pieces": (
        "sqlite",
        replace(f"sqlite/{PIECE}/db.000", lambda data: data[:PIECE]),
        {
            ("db.000 bytes 65536-131071", "size"),
            ("db.000 bytes 98304-106495", "size"),
        },
    ),
    "pieces without ranges": (
        "sqlite",
        answer_with("db.001", 200, DATA[PIECE:]),
        {
            (f"db.001 bytes {first}-{last}", "range")
            for first, last in [(28672, 94207), (94208, 159743), (98304, 106495)]
        },
    ),
    "encoded piece": (
        "sqlite",
        header(f"sqlite/{PIECE}/db.002", "Content-Encoding", "identity"),
        {("db.002 bytes 57344-59903", "content-encoding")},
    ),
    "piece beyond the end": (
        "sqlite",
        lambda server: put(server.image, BEYOND["sqlite"], b""),
        {("db.003", "end")},
    ),
    "swapped pieces": (
        "sqlite",
        replace(f"sqlite/{PIECE}/db.002", lambda data: DATA[: len(data)]),
        {("db.002 bytes 57344-59903", "equality")},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_client(run: Run, server: StaticServer, fault: str) -> None:
    view, plant, expected = FAULTS[fault]
    plant(server)
    assert found(verify(run, server, view, "--keep-going")) == expected


@pytest.mark.parametrize("view", BY_RANGES)
def test_faults_of_a_disk_that_is_read_by_ranges(run: Run, server: StaticServer, view: str) -> None:
    name = DISKS[view]
    good = server.image.files[f"{ROOT}/{name}"]

    def checks(plant: Plant) -> set[str]:
        server.image = make_views()
        server.script = lambda _path, _headers: None
        plant(server)
        return {check for _, check in found(verify(run, server, view, "--keep-going"))}

    identity = {"content-encoding"} if view == "webvm bytes" else set()
    assert checks(header(name, "Content-Encoding", "identity")) == identity
    assert checks(header(name, "Content-Encoding", "gzip")) == {"content-encoding"}
    assert checks(header(name, "Cache-Control", "public")) == {"cache-control"}
    assert checks(replace(name, lambda data: data[:-512])) == {"size"}
    assert checks(replace(name, lambda data: bytes(BLOCK) + data[BLOCK:])) == {"equality"}
    assert checks(answer_with(name, 200, good, Accept_Ranges="bytes")) == (
        {"range"} if view == "webvm bytes" else {"range", "end"}
    )


def test_what_the_first_answer_must_tell(run: Run, server: StaticServer) -> None:
    server.image.headers[f"{ROOT}/raw/disk.img"].pop("Accept-Ranges")
    for view in ("raw", "sqlite full"):
        assert found(verify(run, server, view)) == {("disk.img", "accept-ranges")}
    server.image.headers[f"{ROOT}/webvm/bytes/disk.ext2"].pop("ETag")
    assert found(verify(run, server, "webvm bytes")) == {("disk.ext2", "etag")}


def test_a_server_without_head(run: Run, server: StaticServer) -> None:
    server.script = lambda path, headers: (
        (405, {}, b"") if "raw/" in path and "range" not in headers else None
    )
    assert found(verify(run, server, "raw")) == {("disk.img", "status")}
    assert found(verify(run, server, "sqlite full")) == {("config.json", "status")}


def test_a_disk_that_changes_while_it_is_read(run: Run, server: StaticServer) -> None:
    def script(path: str, headers: dict[str, str]) -> Answer | None:
        if "webvm/bytes" in path and headers["range"] == "bytes=131072-262143":
            server.image.set_header(f"{ROOT}/webvm/bytes/disk.ext2", "ETag", '"2"')
        return None

    server.script = script
    ended = verify(run, server, "webvm bytes", "--parallel", "1")
    assert found(ended) == {("disk.ext2 bytes 131072-262143", "etag")}
