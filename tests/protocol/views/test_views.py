"""File names of views and the byte ranges that they stand for, held against lists of all names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.ranges import ByteRange
from image_gateway.protocol.views import infinite_mac, sqlite, tinyemu, v86, webvm
from image_gateway.protocol.views.pieces import (
    MAX_BLOCK_SIZE,
    Document,
    Piece,
    blocks_in,
    merge_adjacent,
    padded_segment,
    parse_block_size,
)

ROOT = "https://gateway.test/v1/l/token"
SIZES = [1, 511, 512, 513, 1023, 1024, 1025, 4096, 10_000]
BLOCKS = [512, 1024, 1536, 4096]


def extent(found: object) -> list[tuple[int, int, int]]:
    """First byte, byte after the last, and length of each segment of a piece."""
    assert isinstance(found, Piece)
    return [(segment.source.start, segment.source.stop, segment.length) for segment in found.segments]


def content(found: object) -> dict[str, object]:
    assert isinstance(found, Document)
    document: dict[str, object] = json.loads(found.body)
    return document


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", BLOCKS)
def test_v86_parts_are_padded(size: int, block: int) -> None:
    for start in range(0, size, block):
        for name in (f"{start}-{start + block}", f"disk-{start}-{start + block}"):
            expected = [(start, min(start + block, size), block)]
            assert extent(v86.find(size, str(block), f"{name}.img")) == expected
            packed = v86.find(size, str(block), f"{name}.img.zst")
            assert extent(packed) == expected
            assert packed is not None
            assert packed.compressed


@pytest.mark.parametrize(
    "name",
    [
        "disk.img",
        "disk-0-511.img",
        "disk-0-1024.img",
        "disk-512-512.img",
        "disk-256-768.img",
        "disk-1024-1536.img",
        "disk-00-512.img",
        "disk-0-0512.img",
        "disk--512-0.img",
        "disk-0-512",
        "disk-0-512.IMG",
        "disk-0-512.img.gz",
        "disk-0-512.img.zst.zst",
        "other-0-512.img",
        "-0-512.img",
        "disk-\u0660-512.img",
        f"disk-{10**30}-{10**30 + 512}.img",
        "disk-0-512.img\n",
    ],
)
def test_v86_cannot_ask_for(name: str) -> None:
    assert v86.find(1024, "512", name) is None


@pytest.mark.parametrize(
    ("start", "stop", "is_there"),
    [
        (0, 256, True),
        (256, 1024, True),
        (768, 1024, True),
        (0, 1280, False),
        (1024, 1280, False),
        (0, 128, False),
        (512, 512, False),
        (512, 256, False),
    ],
)
def test_v86_parts_of_any_length(start: int, stop: int, is_there: bool) -> None:
    for size in (1024, 1000, 600):
        found = v86.find(size, "any", f"disk-{start}-{stop}.img")
        if is_there and start < size:
            assert extent(found) == [(start, min(stop, size), stop - start)]
        else:
            assert found is None
    assert v86.find(1024, "any", f"disk-{start}-{stop}.img.zst") is None


def test_a_part_of_any_length_is_bounded() -> None:
    size = 2 * MAX_BLOCK_SIZE
    assert v86.find(size, "any", f"0-{MAX_BLOCK_SIZE}.img") is not None
    assert v86.find(size, "any", f"0-{MAX_BLOCK_SIZE + 256}.img") is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kib", [1, 2, 4])
def test_tinyemu_blocks(size: int, kib: int) -> None:
    block = kib * 1024
    index = content(tinyemu.find(size, str(kib), "blk.txt"))
    count = -(-size // block)
    assert index == {"block_size": kib, "n_block": count, "prefetch": [], "prefetch_group_len": 1}
    for number in range(count):
        expected = [(number * block, min((number + 1) * block, size), block)]
        assert extent(tinyemu.find(size, str(kib), f"blk{number:09d}.bin")) == expected
    assert tinyemu.find(size, str(kib), f"blk{count:09d}.bin") is None
    assert tinyemu.find(size, str(kib), "grp000000000.bin") is None


@pytest.mark.parametrize("kib", ["0", "3", "131072", "256.0", "", "-1", "0256", "any"])
def test_tinyemu_block_sizes_are_powers_of_two(kib: str) -> None:
    assert tinyemu.find(10**6, kib, "blk.txt") is None
    assert tinyemu.find(10**6, kib, "blk000000000.bin") is None


def test_tinyemu_groups_have_the_blocks_of_the_prefetch_list_in_its_order() -> None:
    size = 40 * 1024 + 100
    wanted = [ByteRange(40 * 1024, size), ByteRange(0, 2048), ByteRange(5 * 1024, 5 * 1024 + 1)]
    index = content(tinyemu.find(size, "1", "blk.txt", wanted))
    assert (index["prefetch"], index["prefetch_group_len"]) == ([40, 0, 1, 5], 32)
    group = tinyemu.find(size, "1", "grp000000000.bin", wanted)
    assert extent(group) == [(40_960, 41_060, 1024), (0, 2048, 2048), (5120, 6144, 1024)]
    assert isinstance(group, Piece)
    assert not group.is_lasting
    assert tinyemu.find(size, "1", "grp000000001.bin", wanted) is None


def test_the_rest_of_a_prefetch_list_is_a_block_when_it_is_one() -> None:
    size, wanted = 33 * 1024, [ByteRange(0, 33 * 1024)]
    assert extent(tinyemu.find(size, "1", "grp000000000.bin", wanted)) == [(0, 32_768, 32_768)]
    assert tinyemu.find(size, "1", "grp000000001.bin", wanted) is None
    more = [ByteRange(0, 34 * 1024)]
    assert extent(tinyemu.find(34 * 1024, "1", "grp000000001.bin", more)) == [(32_768, 34_816, 2048)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", BLOCKS)
def test_infinite_mac_chunks(size: int, block: int) -> None:
    manifest = content(infinite_mac.find(size, str(block), "manifest.json", "Système 7"))
    count = -(-size // block)
    assert manifest == {
        "name": "Système 7",
        "totalSize": size,
        "chunkSize": block,
        "chunks": [f"{index:x}" for index in range(count)],
        "prefetchChunks": [],
    }
    for index in range(count):
        expected = (index * block, min((index + 1) * block, size))
        assert extent(infinite_mac.find(size, str(block), f"{index:x}.chunk", "")) == [
            (*expected, expected[1] - expected[0])
        ]
    for name in (f"{count:x}.chunk", "00.chunk", "0.CHUNK", "A.chunk", ".chunk", "0"):
        assert infinite_mac.find(size, str(block), name, "") is None


def test_infinite_mac_prefetches_and_is_bounded() -> None:
    wanted = [ByteRange(1024, 1025), ByteRange(0, 600)]
    assert content(infinite_mac.find(5000, "512", "manifest.json", "", wanted))["prefetchChunks"] == [2, 0, 1]
    assert infinite_mac.find(512 * 500_000, "512", "manifest.json", "") is not None
    assert infinite_mac.find(512 * 500_000 + 1, "512", "manifest.json", "") is None


@pytest.mark.parametrize("size", [1, 131_071, 131_072, 131_073, 16 * 131_072 + 5])
def test_webvm_blocks(size: int) -> None:
    meta = webvm.find(size, "disk.ext2.meta")
    assert isinstance(meta, Document)
    assert meta.body == str(size).encode()
    count = -(-size // 131_072)
    for index in range(count):
        start, stop = index * 131_072, min((index + 1) * 131_072, size)
        assert extent(webvm.find(size, f"disk.ext2.c{index:06x}.txt")) == [(start, stop, stop - start)]
    for name in (
        f"disk.ext2.c{count:06x}.txt",
        "disk.ext2.c00000.txt",
        "disk.ext2.c0000000.txt",
        "disk.ext2",
    ):
        assert webvm.find(size, name) is None
    assert webvm.find(11 * 131_072, "disk.ext2.c00000A.txt") is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", [512, 1024, 4096])
def test_sqlite_pieces_go_on_to_the_end_of_the_database(size: int, block: int) -> None:
    assert content(sqlite.find(size, str(block), "config.json", ROOT)) == {
        "serverMode": "chunked",
        "requestChunkSize": 4096,
        "databaseLengthBytes": size,
        "serverChunkSize": block,
        "urlPrefix": f"{ROOT}/sqlite/{block}/db.",
        "suffixLength": 3,
    }
    count = -(-size // block)
    for index in range(count):
        piece = sqlite.find(size, str(block), f"db.{index:03d}", ROOT)
        assert extent(piece) == [(index * block, size, size - index * block)]
    for name in (f"db.{count:03d}", "db.00", "db.0000", "db.", "db.-01"):
        assert sqlite.find(size, str(block), name, ROOT) is None


def test_sqlite_names_grow_beyond_the_suffix() -> None:
    assert extent(sqlite.find(512 * 1001, "512", "db.1000", ROOT)) == [(512_000, 512_512, 512)]
    assert sqlite.find(512 * 1001, "512", "db.0999", ROOT) is None


def test_sqlite_whole() -> None:
    assert content(sqlite.find(5, "full", "config.json", ROOT))["url"] == f"{ROOT}/raw/database.sqlite3"
    assert sqlite.find(5, "full", "db.000", ROOT) is None
    assert sqlite.find(5000, "1000", "config.json", ROOT) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("67108864", 67_108_864),
        ("511", None),
        ("67108865", None),
        ("0512", None),
        ("+512", None),
        ("512 ", None),
        ("٥١٢", None),
        ("9" * 5000, None),
    ],
)
def test_block_sizes(text: str, size: int | None) -> None:
    assert parse_block_size(text) == size


@given(
    st.integers(1, 20_000),
    st.integers(512, 4096),
    st.lists(st.tuples(st.integers(0, 25_000), st.integers(0, 25_000))),
)
def test_blocks_of_ranges(size: int, block: int, pairs: list[tuple[int, int]]) -> None:
    found = blocks_in([ByteRange(*pair) for pair in pairs], size, block)
    touched = {offset // block for start, stop in pairs for offset in range(start, min(stop, size))}
    assert (set(found), len(found)) == (touched, len(touched))


@given(st.lists(st.integers(0, 9)))
def test_merging_keeps_the_bytes(indexes: list[int]) -> None:
    size = 9 * 512 + 100
    segments = [padded_segment(size, index * 512, 512) for index in indexes]
    image = bytes(offset % 251 for offset in range(size))

    def read(parts: object) -> bytes:
        assert isinstance(parts, list | tuple)
        return b"".join(
            image[part.source.start : part.source.stop].ljust(part.length, b"\0") for part in parts
        )

    assert read(merge_adjacent(segments)) == read(segments)
