"""A client's list of parts, by itself and against what the store has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.protocol.parts import (
    MAX_NAMED,
    MAX_PART_SIZE,
    MAX_PARTS,
    MIN_PART_SIZE,
    ClaimedPart,
    StoredPart,
    find_list_problem,
    find_store_problem,
    name_parts,
)
from image_gateway.protocol.preconditions import quoted


def claim(*numbers: int) -> list[ClaimedPart]:
    return [ClaimedPart(number, f'"e{number}"') for number in numbers]


def store(**sizes: int) -> list[StoredPart]:
    """`store(p1=5, p2=6)`: part 1 of 5 bytes, part 2 of 6."""
    return [StoredPart(int(name[1:]), f'"e{name[1:]}"', size) for name, size in sizes.items()]


def test_the_limits_are_those_of_s3() -> None:
    assert (MIN_PART_SIZE, MAX_PART_SIZE, MAX_PARTS) == (5_242_880, 5_368_709_120, 10_000)


@pytest.mark.parametrize(
    ("etag", "expected"),
    [
        ("abc", '"abc"'),
        ('"abc"', '"abc"'),
        (' "abc"\t', '"abc"'),
        (" abc ", '"abc"'),
        ("abc-12", '"abc-12"'),
        ('W/"abc"', 'W/"abc"'),
        ("", '""'),
    ],
)
def test_quotes_are_added_where_they_are_missing(etag: str, expected: str) -> None:
    assert quoted(etag) == expected
    assert quoted(expected) == expected


@pytest.mark.parametrize(
    "numbers", [(1,), (MAX_PARTS,), (2, 1), (3, 1, 2), (1, MAX_PARTS), range(1, MAX_PARTS + 1)], ids=len
)
def test_a_sound_list_has_no_problem(numbers: tuple[int, ...]) -> None:
    assert find_list_problem(claim(*numbers)) is None


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ((), "parts must contain at least one part"),
        ((0,), "part numbers must be 1 to 10000: part 0"),
        ((-1, 1), "part numbers must be 1 to 10000: part -1"),
        ((MAX_PARTS + 1,), "part numbers must be 1 to 10000: part 10001"),
        ((10_001, 1, 0), "part numbers must be 1 to 10000: parts 0, 10001"),
        ((1, 1), "part numbers must not repeat: part 1"),
        ((2, 1, 2, 1, 2, 3), "part numbers must not repeat: parts 1, 2"),
        ((0, 0), "part numbers must be 1 to 10000: part 0"),
    ],
    ids=str,
)
def test_problems_of_the_list(numbers: tuple[int, ...], problem: str) -> None:
    assert find_list_problem(claim(*numbers)) == problem


FULL = MIN_PART_SIZE


@pytest.mark.parametrize(
    ("claimed", "stored"),
    [
        pytest.param(claim(1), store(p1=1), id="a single small part"),
        pytest.param(claim(1), store(p1=0), id="a single empty part"),
        pytest.param(claim(1, 2), store(p1=FULL, p2=1), id="a small last part"),
        pytest.param(claim(2, 1), store(p1=FULL, p2=1), id="the last by number, not by place"),
        pytest.param(claim(1, 2), store(p2=1, p1=FULL), id="the store's order does not matter"),
        pytest.param(claim(1, 5), store(p1=FULL + 1, p5=1), id="a gap in the numbers"),
        pytest.param(claim(1), store(p1=1, p2=FULL), id="parts that are not claimed"),
        pytest.param([ClaimedPart(1, "e1")], store(p1=1), id="an etag without quotes"),
    ],
)
def test_a_list_that_agrees_with_the_store(claimed: list[ClaimedPart], stored: list[StoredPart]) -> None:
    assert find_store_problem(claimed, stored) is None


@pytest.mark.parametrize(
    ("claimed", "stored", "problem"),
    [
        pytest.param(
            claim(1, 2), store(p1=FULL), "not found in the store: part 2; upload first", id="missing"
        ),
        pytest.param(
            claim(3, 1, 2),
            store(p2=FULL),
            "not found in the store: parts 1, 3; upload first",
            id="several missing",
        ),
        pytest.param(
            [ClaimedPart(1, '"other"')],
            store(p1=1),
            "the ETag does not match the store's: part 1",
            id="foreign etag",
        ),
        pytest.param(
            [ClaimedPart(1, 'W/"e1"')],
            store(p1=1),
            "the ETag does not match the store's: part 1",
            id="weak etag",
        ),
        pytest.param(
            [ClaimedPart(1, '"E1"')], store(p1=1), "the ETag does not match the store's: part 1", id="case"
        ),
        pytest.param(
            claim(1, 2),
            store(p1=FULL - 1, p2=1),
            "only the last part may be smaller than 5242880 bytes: part 1",
            id="one byte too small",
        ),
        pytest.param(
            claim(3, 2, 1),
            store(p1=FULL - 1, p2=1, p3=1),
            "only the last part may be smaller than 5242880 bytes: parts 1, 2",
            id="several too small",
        ),
        pytest.param(
            claim(1, 2),
            store(p1=1),
            "not found in the store: part 2; upload first",
            id="a missing part comes before a small one",
        ),
    ],
)
def test_a_list_that_disagrees_with_the_store(
    claimed: list[ClaimedPart], stored: list[StoredPart], problem: str
) -> None:
    assert find_store_problem(claimed, stored) == problem


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([7], "part 7"),
        ([9, 7, 8, 7], "parts 7, 8, 9"),
        (range(1, MAX_NAMED + 1), "parts " + ", ".join(map(str, range(1, 21)))),
        (range(1, MAX_NAMED + 2), "parts " + ", ".join(map(str, range(1, 21))) + " and 1 more"),
        (range(1, MAX_PARTS + 1), "parts " + ", ".join(map(str, range(1, 21))) + " and 9980 more"),
    ],
    ids=["one", "unordered", "twenty", "twenty-one", "ten thousand"],
)
def test_parts_are_named_in_order_and_at_most_twenty(numbers: list[int], text: str) -> None:
    assert name_parts(numbers) == text


@settings(deadline=None)
@given(numbers=st.lists(st.integers(1, MAX_PARTS), min_size=1, unique=True), data=st.data())
def test_what_the_store_lists_can_be_claimed_in_any_order(numbers: list[int], data: st.DataObject) -> None:
    stored = [StoredPart(number, f'"e{number}"', MIN_PART_SIZE) for number in numbers]
    claimed = claim(*data.draw(st.permutations(numbers)))
    assert find_list_problem(claimed) is None
    assert find_store_problem(claimed, stored) is None
