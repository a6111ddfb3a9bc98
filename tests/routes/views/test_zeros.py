"""Blocks of zeros in views are answered without the store."""

from __future__ import annotations

import pytest
import zstandard

from image_gateway.protocol.zero_map import BLOCK_SIZE
from tests.support.world import Image, World
from tests.support.zero_regions import Zeros, make_data

# Four parts of 256 KiB, the last one short: data and zeros, zeros, zeros and data, zeros.
DATA = make_data("#..." + "...." + "...#" + "..", 512)
PART = 4 * BLOCK_SIZE
TOUCHES_DATA = [1, 0, 1, 0]


@pytest.fixture(scope="module")
def zeros(world: World) -> Zeros:
    return Zeros.over(world)


@pytest.fixture(scope="module")
def sparse(zeros: Zeros) -> Image:
    return zeros.make_loaded(DATA)


def fetch(zeros: Zeros, image: Image, name: str, **headers: str) -> bytes:
    zeros.store.calls.clear()
    path = f"/v1/images/{image.image_id}/views/{name}"
    response = zeros.world.request("GET", path, headers=headers)
    assert response.status_code in (200, 206)
    return response.data


@pytest.mark.parametrize("index", range(4))
def test_v86(zeros: Zeros, sparse: Image, index: int) -> None:
    start = index * PART
    expected = DATA[start : start + PART].ljust(PART, b"\0")
    name = f"v86/{PART}/disk-{start}-{start + PART}.img"
    assert fetch(zeros, sparse, name) == expected
    assert len(zeros.store.calls) == TOUCHES_DATA[index]
    frame = fetch(zeros, sparse, f"{name}.zst")
    assert zstandard.ZstdDecompressor().decompress(frame, max_output_size=PART) == expected
    assert len(zeros.store.calls) == TOUCHES_DATA[index]


@pytest.mark.parametrize("index", range(4))
def test_tinyemu(zeros: Zeros, sparse: Image, index: int) -> None:
    start = index * PART
    assert fetch(zeros, sparse, f"tinyemu/256/blk{index:09}.bin") == DATA[start : start + PART].ljust(
        PART, b"\0"
    )
    assert len(zeros.store.calls) == TOUCHES_DATA[index]


def test_ranges_of_a_view(zeros: Zeros, sparse: Image) -> None:
    for start, stop, calls in [
        (BLOCK_SIZE, PART, 0),
        (BLOCK_SIZE - 1, PART, 1),
        (2 * PART - 5, 2 * PART + 5, 0),
    ]:
        data = fetch(zeros, sparse, "raw/disk.img", Range=f"bytes={start}-{stop - 1}")
        assert data == DATA[start:stop]
        assert len(zeros.store.calls) == calls
