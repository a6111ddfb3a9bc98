"""Whatever is zero, ranges have the bytes of the object."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.protocol.zero_map import BLOCK_SIZE
from image_gateway.storage.client import StoreClients
from tests.support.contract import ContractChecker
from tests.support.databases import Databases
from tests.support.world import lasting_world
from tests.support.zero_regions import Zeros, make_data


@pytest.fixture(scope="module")
def lasting(databases: Databases, checker: ContractChecker, moto_clients: StoreClients) -> Iterator[Zeros]:
    with lasting_world(databases, checker, moto_clients) as world:
        yield Zeros.over(world)


@settings(max_examples=25)
@given(st.text(".#", min_size=1, max_size=12), st.integers(0, 3), st.data())
def test_bytes_are_those_of_the_object(lasting: Zeros, pattern: str, odd: int, data: st.DataObject) -> None:
    zeros = lasting
    image = zeros.make_image(make_data(pattern, odd * 512), chunk_size=512 * 100)
    size = len(image.data)
    edges = [edge + near for edge in range(0, size + 1, BLOCK_SIZE) for near in (-1, 0, 1)]
    inside = [edge for edge in [*edges, size] if 0 <= edge <= size]
    for _ in range(5):
        start, stop = sorted([data.draw(st.sampled_from(inside)), data.draw(st.sampled_from(inside))])
        if start < stop:
            assert zeros.read(image, start, stop)[0] == image.data[start:stop]
