"""The block cache over a store that breaks at any byte: every body is right, or visibly broken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from image_gateway.local.seaweed import LocalStore
from tests.live.test_faults import (
    CUTS,
    DATA,
    MIB,
    READERS,
    SEED,
    SIZE,
    RandomCuts,
    Scene,
    judge,
    scene_over,
)
from tests.support.fault_proxy import Fault

pytestmark = pytest.mark.thorough
# More than the cache holds, so that the store is asked again and again.
IMAGES = 8


@pytest.fixture(scope="module")
def scene(
    store: LocalStore, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("cached-faults")
    cache = {
        "RANGE_CACHE_DIR": str(folder / "blocks"),
        "RANGE_CACHE_MAX_BYTES": str(16 * MIB),
        "RANGE_CACHE_BLOCK_BYTES": str(MIB // 4),
    }
    with scene_over(store, environment, folder, WEB_THREADS="16", **cache) as made:
        yield made


@pytest.fixture(scope="module")
def images(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("images")
    return [scene.make_image(folder, DATA) for _ in range(IMAGES)]


def test_a_store_that_breaks_in_the_first_block_is_unavailable(scene: Scene, images: list[str]) -> None:
    try:
        for start, stop in ((0, 10), (SIZE - 10, SIZE)):
            # A beginning of the body, and after that nothing.
            faults = iter([Fault("end", 5000)])
            scene.proxy.plan = lambda _, faults=faults: next(faults, Fault("end", 0))
            seen = scene.read(images[0], start, stop)
            assert (seen.status, seen.code) == (503, "S3_UNAVAILABLE")
    finally:
        scene.proxy.plan = lambda _: None
    assert scene.read(images[0]).data == DATA


def test_cuts_anywhere(scene: Scene, images: list[str]) -> None:
    scene.proxy.done.clear()
    scene.proxy.plan = cuts = RandomCuts(scene.proxy)
    outcomes: Counter[str] = Counter()

    def keep_reading(number: int) -> None:
        source = random.Random(SEED + number)
        while not cuts.enough:
            whole = source.random() < 0.3
            start = 0 if whole else source.randrange(SIZE)
            stop = SIZE if whole else min(SIZE, start + 1 + source.randrange(source.choice([1, 4096, MIB])))
            seen = scene.read(source.choice(images), start, None if whole else stop)
            outcomes[judge(seen, DATA[start:stop])] += 1

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(keep_reading, range(READERS)))
    scene.proxy.plan = lambda _: None
    assert scene.proxy.done.total() >= CUTS
    assert set(outcomes) <= {"right", "broken", "unavailable"}
    assert outcomes["right"] >= 0.8 * outcomes.total()
    for image_id in images:
        assert scene.read(image_id).data == DATA
