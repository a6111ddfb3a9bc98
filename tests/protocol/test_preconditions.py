"""Conditional requests: each header alone, their order (RFC 9110 §13.2.2), their bounds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_gateway.protocol.preconditions import (
    DATE_LIMIT,
    ETAG_LIST_LIMIT,
    IF_RANGE_LIMIT,
    Conditions,
    Decision,
    Validators,
    decide,
)

PROCEED, WHOLE = Decision.PROCEED, Decision.PROCEED_WHOLE
NOT_MODIFIED, FAILED = Decision.NOT_MODIFIED, Decision.FAILED

SAME = "Mon, 01 Jan 2024 12:00:00 GMT"
BEFORE = "Mon, 01 Jan 2024 11:59:59 GMT"
AFTER = "Mon, 01 Jan 2024 12:00:01 GMT"
CURRENT = Validators('"v1"', datetime(2024, 1, 1, 12, tzinfo=UTC))
TAGS_THAT_MATCH = ['"v1"', '"v0", "v1"', '"v1","v2"', '"v0" , "v1"\t,"v2"', '  "v1"\t', ',, "v1" ,']
TAGS_THAT_DIFFER = ['"v2"', '"V1"', '"v1 "', '"v0", "v2"', '"v0,v1"', '"a\\"v1"', '"', "", '""', ","]
HEADERS = ["if_match", "if_none_match", "if_modified_since", "if_unmodified_since", "if_range"]
unhurried = settings(deadline=None)


def check(expected: Decision, **headers: str) -> None:
    assert decide(Conditions(**headers), CURRENT) is expected


def test_a_request_without_conditions_proceeds() -> None:
    check(PROCEED)


@pytest.mark.parametrize("tags", [*TAGS_THAT_MATCH, "*", " * "])
def test_if_match_holds(tags: str) -> None:
    check(PROCEED, if_match=tags)


@pytest.mark.parametrize("tags", [*TAGS_THAT_DIFFER, 'W/"v1"', 'W/"v1", "v2"', '"*"'])
def test_if_match_fails(tags: str) -> None:
    check(FAILED, if_match=tags)


@pytest.mark.parametrize("tags", [*TAGS_THAT_MATCH, "*", 'W/"v1"', '"v0", W/"v1"', 'W/"v0",W/"v1"'])
def test_if_none_match_finds_the_current_version(tags: str) -> None:
    check(NOT_MODIFIED, if_none_match=tags)


@pytest.mark.parametrize("tags", [*TAGS_THAT_DIFFER, 'W/"v2"', '"*"'])
def test_if_none_match_finds_nothing(tags: str) -> None:
    check(PROCEED, if_none_match=tags)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ('"a,b"', NOT_MODIFIED),
        ('"x", "a,b", "y"', NOT_MODIFIED),
        ('W/"a,b"', NOT_MODIFIED),
        ('"a", "b"', PROCEED),
        ('"a', PROCEED),
        ('"x,a,b"', PROCEED),
    ],
)
def test_a_comma_inside_quotes_is_part_of_the_tag(tags: str, expected: Decision) -> None:
    current = Validators('"a,b"', CURRENT.last_modified)
    assert decide(Conditions(if_none_match=tags), current) is expected


DATES = [
    pytest.param(SAME, 0, id="same second"),
    pytest.param(BEFORE, -1, id="a second before"),
    pytest.param(AFTER, 1, id="a second after"),
    pytest.param("Mon, 01 Jan 2024 13:00:00 +0100", 0, id="positive zone"),
    pytest.param("Mon, 01 Jan 2024 04:00:00 -0800", 0, id="negative zone"),
    pytest.param("Mon, 01 Jan 2024 12:00:00 -0000", 0, id="unknown zone is UTC"),
    pytest.param("Monday, 01-Jan-24 12:00:00 GMT", 0, id="RFC 850, two-digit year"),
    pytest.param("Friday, 01-Jan-99 12:00:00 GMT", -1, id="RFC 850, last century"),
    pytest.param("Mon Jan  1 12:00:00 2024", 0, id="asctime"),
    pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 1, id="last year"),
    pytest.param("Fri, 31 Dec 9999 23:59:59 -2300", 1, id="last year, far west"),
    pytest.param("Mon, 01 Jan 0100 00:00:00 GMT", -1, id="year 100"),
]


@pytest.mark.parametrize(("date", "order"), DATES)
def test_dates_compare_by_the_second(date: str, order: int) -> None:
    check(NOT_MODIFIED if order >= 0 else PROCEED, if_modified_since=date)
    check(PROCEED if order >= 0 else FAILED, if_unmodified_since=date)
    check(PROCEED if order >= 0 else WHOLE, if_range=date)


MANY = "9" * 40
UNREADABLE = [
    "",
    " ",
    "0",
    "-1",
    "now",
    "1704110400",
    "2024-01-01T12:00:00Z",
    "Mon, 32 Jan 2024 12:00:00 GMT",
    "Mon, 30 Feb 2024 12:00:00 GMT",
    "Mon, 01 Foo 2024 12:00:00 GMT",
    "Mon, 01 Jan 2024 25:00:00 GMT",
    "Mon, 01 Jan 99999 12:00:00 GMT",
    f"Mon, 01 Jan {MANY} 12:00:00 GMT",
    f"Mon, {MANY} Jan 2024 12:00:00 GMT",
    f"Mon, 01 Jan 2024 {MANY}:00:00 GMT",
    f"Mon, 01 Jan 2024 12:{MANY}:00 GMT",
    "Mon, 01 Jan 2024 12:00:00 +9999",
    f"Mon, 01 Jan 2024 12:00:00 -{MANY}",
    "\x00",
    '"v1',
]


@pytest.mark.parametrize("date", UNREADABLE)
def test_an_unreadable_date_is_no_condition(date: str) -> None:
    check(PROCEED, if_modified_since=date)
    check(PROCEED, if_unmodified_since=date)


@pytest.mark.parametrize("date", UNREADABLE)
def test_if_range_with_an_unreadable_date_does_not_hold(date: str) -> None:
    check(WHOLE, if_range=date)


@pytest.mark.parametrize("tag", ['"v1"', ' "v1"\t'])
def test_if_range_holds_for_the_current_strong_tag(tag: str) -> None:
    check(PROCEED, if_range=tag)


@pytest.mark.parametrize(
    "tag", ['W/"v1"', 'w/"v1"', '"v2"', '"V1"', "v1", "*", '"v1", "v2"', '"v1" x', '"v1']
)
def test_if_range_does_not_hold(tag: str) -> None:
    check(WHOLE, if_range=tag)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if_match": '"v2"', "if_none_match": '"v1"'}, FAILED),
        ({"if_match": '"v2"', "if_unmodified_since": SAME}, FAILED),
        ({"if_match": '"v1"', "if_unmodified_since": BEFORE}, PROCEED),
        ({"if_match": '"v1"', "if_none_match": '"v1"'}, NOT_MODIFIED),
        ({"if_match": '"v1"', "if_modified_since": SAME}, NOT_MODIFIED),
        ({"if_unmodified_since": BEFORE, "if_none_match": '"v1"'}, FAILED),
        ({"if_unmodified_since": BEFORE, "if_modified_since": AFTER}, FAILED),
        ({"if_unmodified_since": AFTER, "if_modified_since": AFTER}, NOT_MODIFIED),
        ({"if_none_match": '"v2"', "if_modified_since": AFTER}, PROCEED),
        ({"if_none_match": "", "if_modified_since": AFTER}, PROCEED),
        ({"if_none_match": '"v1"', "if_modified_since": BEFORE}, NOT_MODIFIED),
        ({"if_match": '"v2"', "if_range": '"v1"'}, FAILED),
        ({"if_none_match": '"v1"', "if_range": '"v2"'}, NOT_MODIFIED),
        ({"if_modified_since": SAME, "if_range": '"v1"'}, NOT_MODIFIED),
        ({"if_none_match": '"v2"', "if_range": '"v2"'}, WHOLE),
        ({"if_match": '"v1"', "if_none_match": '"v2"', "if_range": '"v1"'}, PROCEED),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else value.name,
)
def test_order_of_the_conditions(headers: dict[str, str], expected: Decision) -> None:
    check(expected, **headers)


def list_of(length: int) -> str:
    """A list of tags of exactly so many characters that ends in the current one."""
    filler = "x" * (length - len('"", "v1"'))
    return f'"{filler}", "v1"'


@pytest.mark.parametrize(
    ("length", "held"), [(ETAG_LIST_LIMIT - 1, True), (ETAG_LIST_LIMIT, True), (ETAG_LIST_LIMIT + 1, False)]
)
def test_longest_list_of_tags(length: int, held: bool) -> None:
    tags = list_of(length)
    assert len(tags) == length
    check(PROCEED if held else FAILED, if_match=tags)
    check(NOT_MODIFIED if held else PROCEED, if_none_match=tags)


@pytest.mark.parametrize(
    ("length", "expected"), [(IF_RANGE_LIMIT - 1, PROCEED), (IF_RANGE_LIMIT, PROCEED), (257, WHOLE)]
)
def test_longest_if_range(length: int, expected: Decision) -> None:
    tag = f'"{"x" * (length - 2)}"'
    assert decide(Conditions(if_range=tag), Validators(tag, CURRENT.last_modified)) is expected


@pytest.mark.parametrize(("length", "read"), [(DATE_LIMIT - 1, True), (DATE_LIMIT, True), (129, False)])
def test_longest_date(length: int, read: bool) -> None:
    check(NOT_MODIFIED if read else PROCEED, if_modified_since=SAME.ljust(length))
    check(FAILED if read else PROCEED, if_unmodified_since=BEFORE.ljust(length))


def test_the_bounds_are_those_of_the_contract() -> None:
    assert (IF_RANGE_LIMIT, ETAG_LIST_LIMIT, DATE_LIMIT) == (256, 16 * 1024, 128)


def test_an_overlong_if_none_match_still_silences_if_modified_since() -> None:
    check(PROCEED, if_none_match=list_of(ETAG_LIST_LIMIT + 1), if_modified_since=AFTER)


numbers = st.one_of(st.integers(-1, 99), st.integers(0, 9999), st.integers(0, 10**30)).map(str)
months = st.sampled_from(["Jan", "Feb", "dec", "Foo", ""])
zones = st.one_of(st.sampled_from(["GMT", "", "EST", "-0000", "Z"]), numbers.map("-{}".format), numbers)
shapes = st.sampled_from(
    [
        "Mon, {} {} {} {}:{}:{} {}",
        "Monday, {}-{}-{} {}:{}:{} {}",
        "{}{}{}{}:{}.{}{}",
        "Mon {} {} {} {}:{} {} {}",
    ]
)
dates = st.builds(
    lambda shape, *parts: shape.format(*parts),
    shapes, numbers, months, numbers, numbers, numbers, numbers, zones,
)  # fmt: skip
tags = st.text(st.sampled_from('"vW/1*, \t\\'), max_size=60)


@pytest.mark.parametrize("header", HEADERS)
@unhurried
@given(value=st.one_of(st.text(), tags, dates))
def test_any_text_comes_to_a_decision(header: str, value: str) -> None:
    assert decide(Conditions(**{header: value}), CURRENT) in Decision


@pytest.mark.parametrize("date", [BEFORE, SAME, AFTER])
@pytest.mark.parametrize(
    ("header", "expected"),
    [("if_modified_since", PROCEED), ("if_unmodified_since", PROCEED), ("if_range", WHOLE)],
)
def test_dates_mean_nothing_to_what_has_none(header: str, expected: Decision, date: str) -> None:
    """RFC 9110 §13.1.3, §13.1.4, §13.1.5."""
    undated = Validators(CURRENT.etag, None)
    assert decide(Conditions(**{header: date}), undated) is expected
    assert decide(Conditions(**{header: date, "if_match": CURRENT.etag}), undated) is expected


@unhurried
@given(
    values=st.dictionaries(st.sampled_from(HEADERS), st.one_of(tags, st.sampled_from([BEFORE, SAME, AFTER])))
)
def test_if_match_decides_first(values: dict[str, str]) -> None:
    check(FAILED, **{**values, "if_match": '"another"'})
