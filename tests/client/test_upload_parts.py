"""How a file is divided into parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from image_gateway.client.upload_parts import PartPlan


@given(st.integers(0, 10_000), st.integers(1, 999))
def test_parts_cover_the_file_once(size: int, part_size: int) -> None:
    plan = PartPlan(size, part_size)
    position = 0
    for number in plan.numbers:
        assert plan.start(number) == position
        position += plan.length(number)
    assert position == size
    assert all(plan.length(number) == part_size for number in list(plan.numbers)[:-1])
