"""The plan of an upload at its edges, and uploaded parts held against it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.parts import (
    MAX_OBJECT_SIZE,
    MAX_PART_SIZE,
    MAX_PARTS,
    MIB,
    MIN_PART_SIZE,
    StoredPart,
    choose_part_size,
    count_parts,
    find_gap,
    find_plan_problem,
    length_of_part,
)

TIB = 2**40


@pytest.mark.parametrize(
    ("size", "configured", "part_size", "count"),
    [
        (None, 64 * MIB, 64 * MIB, None),
        (0, 64 * MIB, 64 * MIB, 1),
        (1, 64 * MIB, 64 * MIB, 1),
        (64 * MIB, 64 * MIB, 64 * MIB, 1),
        (64 * MIB + 1, 64 * MIB, 64 * MIB, 2),
        (MAX_PARTS * 64 * MIB, 64 * MIB, 64 * MIB, 10_000),
        (MAX_PARTS * 64 * MIB + 1, 64 * MIB, 65 * MIB, 9_847),
        (MAX_PARTS * MIN_PART_SIZE, MIN_PART_SIZE, MIN_PART_SIZE, 10_000),
        (MAX_PARTS * MIN_PART_SIZE + 1, MIN_PART_SIZE, 6 * MIB, 8_334),
        (5 * TIB - 1, 64 * MIB, 525 * MIB, 9_987),
        (5 * TIB, 64 * MIB, 525 * MIB, 9_987),
        (5 * TIB + 1, 64 * MIB, 525 * MIB, 9_987),
        (MAX_OBJECT_SIZE - 1, 64 * MIB, MAX_PART_SIZE, 10_000),
        (MAX_OBJECT_SIZE, 64 * MIB, MAX_PART_SIZE, 10_000),
    ],
)
def test_the_plan_at_its_edges(size: int | None, configured: int, part_size: int, count: int | None) -> None:
    assert choose_part_size(size, configured) == part_size
    if size is not None:
        assert count_parts(size, part_size) == count


@given(st.integers(0, MAX_OBJECT_SIZE), st.integers(MIN_PART_SIZE, MAX_PART_SIZE))
def test_every_plan_fits_and_adds_up(size: int, configured: int) -> None:
    part_size = choose_part_size(size, configured)
    count = count_parts(size, part_size)
    assert MIN_PART_SIZE <= configured <= part_size <= MAX_PART_SIZE
    assert 1 <= count <= MAX_PARTS
    assert part_size == configured or part_size % MIB == 0
    last = length_of_part(count, size, part_size)
    assert (count - 1) * part_size + last == size
    assert last > 0 or size == 0


def stored(size: int, part_size: int) -> list[StoredPart]:
    numbers = range(1, count_parts(size, part_size) + 1)
    return [StoredPart(number, '"e"', length_of_part(number, size, part_size)) for number in numbers]


def test_ten_thousand_parts_of_five_tebibytes() -> None:
    part_size = choose_part_size(5 * TIB, MIN_PART_SIZE)
    parts = stored(5 * TIB, part_size)
    assert find_plan_problem(parts, 5 * TIB, part_size) is None
    assert sum(part.size for part in parts) == 5 * TIB
    for other in (5 * TIB - 1, 5 * TIB + 1):
        assert find_plan_problem(parts, other, part_size) == (
            f"wrong size for the upload plan: part {len(parts)}; upload again"
        )
    missing = [part for part in parts if part.number % 2]
    text = find_plan_problem(missing, 5 * TIB, part_size)
    assert text is not None
    assert text.startswith("not uploaded: parts 2, 4, 6,")
    assert text.endswith(f"and {len(parts) - len(missing) - 20} more")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], "no part was uploaded"),
        ([1], None),
        ([1, 2, 3], None),
        ([2], "not uploaded: part 1"),
        ([1, 4], "not uploaded: parts 2, 3"),
    ],
)
def test_gaps(numbers: list[int], text: str | None) -> None:
    assert find_gap([StoredPart(number, '"e"', 1) for number in numbers]) == text
