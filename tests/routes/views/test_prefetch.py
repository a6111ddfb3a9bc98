"""What a recorded boot reads is in the documents of clients that have a place for it."""

from __future__ import annotations

import json
import random

import pytest

from image_gateway.domain.clock import now_of
from image_gateway.protocol.boot_trace import BLOCK_SIZE, BootTrace
from tests.support.world import Image, World

DATA = random.Random(7).randbytes(8 * BLOCK_SIZE + 100)
# The blocks 6, 7, 1 and 8, the last of which is short.
TRACE = BootTrace(((6, 2), (1, 1), (8, 1)))


@pytest.fixture(scope="module")
def traced(world: World) -> Image:
    image = world.make_image(DATA)
    record = world.catalog.find(image.image_id)
    assert record is not None
    assert world.catalog.boot_traces.replace(image.image_id, record.version, TRACE, now_of(lambda: 1e9))
    return image


def fetch(world: World, image: Image, name: str) -> bytes:
    answer = world.request("GET", f"/v1/images/{image.image_id}/views/{name}")
    assert answer.status_code == 200
    return answer.data


@pytest.mark.parametrize(
    ("kib", "blocks"), [(64, [6, 7, 1, 8]), (128, [3, 0, 4]), (512, [0, 1]), (32, [12, 13, 14, 15, 2, 3, 16])]
)
def test_tinyemu_lists_its_blocks_and_groups_have_their_bytes(
    world: World, traced: Image, kib: int, blocks: list[int]
) -> None:
    index = json.loads(fetch(world, traced, f"tinyemu/{kib}/blk.txt"))
    assert index["prefetch"] == blocks
    group = index["prefetch_group_len"]
    size = kib * 1024
    for first in range(0, len(blocks), group):
        members = blocks[first : first + group]
        expected = b"".join(DATA[block * size :][:size].ljust(size, b"\0") for block in members)
        assert len(members) > 1
        assert fetch(world, traced, f"tinyemu/{kib}/grp{first // group:09d}.bin") == expected


def test_infinite_mac_lists_its_chunks(world: World, traced: Image) -> None:
    manifest = json.loads(fetch(world, traced, f"infinite-mac/{BLOCK_SIZE}/manifest.json"))
    assert manifest["prefetchChunks"] == [6, 7, 1, 8]


def test_without_a_trace_nothing_is_listed(world: World) -> None:
    plain = world.make_image(DATA)
    assert json.loads(fetch(world, plain, "tinyemu/64/blk.txt"))["prefetch"] == []
    manifest = json.loads(fetch(world, plain, f"infinite-mac/{BLOCK_SIZE}/manifest.json"))
    assert manifest["prefetchChunks"] == []


def test_small_blocks_make_no_endless_list(world: World, traced: Image) -> None:
    index = json.loads(fetch(world, traced, "tinyemu/1/blk.txt"))
    assert len(index["prefetch"]) == 64 * 3 + 1
