"""`image-gateway verify --as` of the clients of views, and the faults of files that all of them refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.client.conftest import Run
from tests.client.view_faults import (
    Found,
    Plant,
    answer_with,
    base,
    found,
    header,
    remove,
    replace,
    verify,
)
from tests.support.static_image import StaticServer, serving
from tests.support.static_views import (
    BEYOND,
    BLOCK,
    BLOCKS,
    DATA,
    ROOT,
    SIZE,
    URLS,
    compress,
    make_views,
    put,
)


@pytest.fixture
def server() -> Iterator[StaticServer]:
    with serving(make_views()) as running:
        yield running


@pytest.mark.parametrize("view", URLS)
def test_a_view_in_which_nothing_is_wrong(run: Run, server: StaticServer, view: str) -> None:
    ended = verify(run, server, view)
    assert found(ended) == set()
    answer = json.loads(ended.out)
    assert answer["checkedChunks"] == answer["chunkCount"] > 1
    assert (answer["client"], answer["diskCompared"], answer["hashCompared"]) == (
        view.split()[0],
        True,
        False,
    )
    assert answer["checkedBytes"] >= 2 * SIZE
    assert "igl~" not in ended.out + ended.err


@pytest.mark.parametrize("view", URLS)
def test_a_sample_holds_the_first_block_and_the_last(run: Run, server: StaticServer, view: str) -> None:
    ended = verify(run, server, view, "--sample", "2", "--seed", "1")
    assert found(ended) == set()
    disk = [headers["range"] for path, headers in server.asked if path.endswith(f"{ROOT}/disk.img")]
    starts = {int(text.removeprefix("bytes=").partition("-")[0]) for text in disk}
    assert 0 in starts
    assert max(starts) >= SIZE - BLOCK
    assert json.loads(ended.out)["checkedBytes"] < 2 * SIZE + 4 * BLOCK


FAULTS_OF_FILES: dict[str, Callable[[str], tuple[Plant, Found]]] = {
    "206 instead of 200": lambda view: (
        answer_with(BLOCKS[view][0], 206, b""),
        {(base(BLOCKS[view][0]), "status")},
    ),
    "Content-Encoding: identity": lambda view: (
        header(BLOCKS[view][0], "Content-Encoding", "identity"),
        {(base(BLOCKS[view][0]), "content-encoding")},
    ),
    "transformable": lambda view: (
        header(BLOCKS[view][0], "Cache-Control", "public"),
        {(base(BLOCKS[view][0]), "cache-control")},
    ),
    "short block": lambda view: (
        replace(BLOCKS[view][0], _shorten(view)),
        {(base(BLOCKS[view][0]), "size")},
    ),
    "long block": lambda view: (
        replace(BLOCKS[view][1], _lengthen(view)),
        {(base(BLOCKS[view][1]), "size")},
    ),
    "missing block": lambda view: (
        remove(BLOCKS[view][0]),
        {(base(BLOCKS[view][0]), "missing")},
    ),
    "a block beyond the end": lambda view: (
        lambda server: put(server.image, BEYOND[view], b""),
        {(base(BEYOND[view]), "end")},
    ),
}
FILES = [view for view in BLOCKS if view != "sqlite"]


def _shorten(view: str) -> Callable[[bytes], bytes]:
    return (lambda _: compress(bytes(512))) if view.endswith("zst") else (lambda data: data[:-512])


def _lengthen(view: str) -> Callable[[bytes], bytes]:
    return (lambda _: compress(bytes(BLOCK + 512))) if view.endswith("zst") else (lambda data: data + b"\0")


@pytest.mark.parametrize("view", FILES)
@pytest.mark.parametrize("fault", FAULTS_OF_FILES)
def test_a_fault_of_a_file(run: Run, server: StaticServer, view: str, fault: str) -> None:
    plant, expected = FAULTS_OF_FILES[fault](view)
    plant(server)
    problems = found(verify(run, server, view, "--keep-going"))
    assert problems == expected


@pytest.mark.parametrize("view", FILES)
def test_swapped_blocks(run: Run, server: StaticServer, view: str) -> None:
    first = URLS[view].rpartition("/")[0] + "/" + _first_name(view)
    second = BLOCKS[view][0]
    files = server.image.files
    files[f"{ROOT}/{first}"], files[f"{ROOT}/{second}"] = files[f"{ROOT}/{second}"], files[f"{ROOT}/{first}"]
    problems = found(verify(run, server, view, "--keep-going"))
    assert problems == {(base(first), "equality"), (base(second), "equality")}


def _first_name(view: str) -> str:
    names = {
        "v86": "disk-0-65536.img",
        "v86 zst": "disk-0-65536.img.zst",
        "v86 any": "0-65536.img",
        "tinyemu": "blk000000000.bin",
        "infinite-mac": "0.chunk",
        "webvm": "disk.ext2.c000000.txt",
    }
    return names[view]


@pytest.mark.parametrize("view", ["v86", "v86 zst", "tinyemu"])
def test_the_last_block_is_padded_with_zeros(run: Run, server: StaticServer, view: str) -> None:
    last = BLOCKS[view][1]
    rest = DATA[4 * BLOCK :]
    make = compress if view.endswith("zst") else bytes
    put(server.image, last, make(rest))
    assert found(verify(run, server, view)) == {(base(last), "size")}
    put(server.image, last, make(rest + bytes(BLOCK - len(rest) - 1) + b"x"))
    assert found(verify(run, server, view)) == {(base(last), "padding")}


@pytest.mark.parametrize("view", FILES)
def test_a_body_of_unknown_length(run: Run, server: StaticServer, view: str) -> None:
    name = BLOCKS[view][0]
    data = server.image.files[f"{ROOT}/{name}"]
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    answer_with(name, 200, framed, Transfer_Encoding="chunked")(server)
    assert found(verify(run, server, view)) == {(base(name), "transfer-encoding")}
