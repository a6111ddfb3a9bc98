"""The Range header, row by row of the contract, then over any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from image_gateway.protocol.ranges import ByteRange, Unsatisfiable, Whole, resolve_range

SIZE = 1000
ZERO_TO_NINE = ByteRange(0, 10)
NINES = "9" * 5000
ZEROS = "0" * 5000
unhurried = settings(deadline=None)


def case(header: str | None, expected: Whole | ByteRange | Unsatisfiable, name: str | None = None) -> object:
    return pytest.param(header, expected, id=name or repr(header))


SATISFIED = [
    case("bytes=0-0", ByteRange(0, 1)),
    case("bytes=0-9", ZERO_TO_NINE),
    case("bytes=10-19", ByteRange(10, 20)),
    case("bytes=998-998", ByteRange(998, 999)),
    case("bytes=0-998", ByteRange(0, 999)),
    case("bytes=0-999", ByteRange(0, SIZE)),
    case("bytes=999-999", ByteRange(999, SIZE)),
    case("bytes=0-", ByteRange(0, SIZE)),
    case("bytes=1-", ByteRange(1, SIZE)),
    case("bytes=999-", ByteRange(999, SIZE)),
    case("bytes=00000-0009", ZERO_TO_NINE),
]
CLAMPED = [
    case("bytes=0-1000", ByteRange(0, SIZE)),
    case("bytes=990-1001", ByteRange(990, SIZE)),
    case("bytes=990-18446744073709551615", ByteRange(990, SIZE), "2**64-1"),
    case("bytes=990-99999999999999999999", ByteRange(990, SIZE), "20 digits"),
    case("bytes=990-100000000000000000000", ByteRange(990, SIZE), "21 digits"),
    case(f"bytes=990-{NINES}", ByteRange(990, SIZE), "last of 5000 digits"),
    case(f"bytes={ZEROS}10-{ZEROS}19", ByteRange(10, 20), "5000 leading zeros"),
]
SUFFIXES = [
    case("bytes=-1", ByteRange(999, SIZE)),
    case("bytes=-10", ByteRange(990, SIZE)),
    case("bytes=-999", ByteRange(1, SIZE)),
    case("bytes=-1000", ByteRange(0, SIZE)),
    case("bytes=-1001", ByteRange(0, SIZE)),
    case(f"bytes=-{NINES}", ByteRange(0, SIZE), "suffix of 5000 digits"),
    case(f"bytes=-{ZEROS}5", ByteRange(995, SIZE), "suffix with 5000 leading zeros"),
]
UNSATISFIABLE = [
    case("bytes=1000-", Unsatisfiable()),
    case("bytes=1000-1000", Unsatisfiable()),
    case("bytes=1000-2000", Unsatisfiable()),
    case(f"bytes={NINES}-", Unsatisfiable(), "first of 5000 digits"),
    case(f"bytes={NINES}-{NINES}", Unsatisfiable(), "both of 5000 digits"),
    case("bytes=-0", Unsatisfiable()),
    case(f"bytes=-{ZEROS}", Unsatisfiable(), "suffix of 5000 zeros"),
    case("bytes=1-0", Unsatisfiable()),
    case("bytes=999-998", Unsatisfiable()),
    case("bytes=2000-1000", Unsatisfiable()),
    case("bytes=0-1,5-6", Unsatisfiable()),
    case("bytes=0-1, 5-6", Unsatisfiable()),
    case("bytes=0-0,-1", Unsatisfiable()),
    case("bytes=0-1,", Unsatisfiable(), "dangling comma"),
    case("bytes=,0-1", Unsatisfiable(), "leading comma"),
    case("bytes=0-1, ", Unsatisfiable(), "dangling comma and space"),
    case("bytes=,", Unsatisfiable()),
]
MALFORMED = [
    case("bytes", Unsatisfiable()),
    case("bytes=", Unsatisfiable()),
    case("bytes=-", Unsatisfiable()),
    case("bytes=--1", Unsatisfiable()),
    case("bytes=1", Unsatisfiable()),
    case("bytes=a-b", Unsatisfiable()),
    case("bytes=0x0-0x9", Unsatisfiable()),
    case("bytes=+0-9", Unsatisfiable()),
    case("bytes=0-+9", Unsatisfiable()),
    case("bytes=0_0-9", Unsatisfiable()),
    case("bytes=0.0-9", Unsatisfiable()),
    case("bytes=1e1-", Unsatisfiable()),
    case("bytes=0-9-", Unsatisfiable()),
    case("bytes=0-9 bytes", Unsatisfiable()),
    case("bytes==0-9", Unsatisfiable()),
    case("bytes=*-9", Unsatisfiable()),
    case("bytes 0-9", Whole(), "the unit is everything before the equals sign"),
    case("bytes=0 -9", Unsatisfiable()),
    case("bytes=0- 9", Unsatisfiable()),
    case("bytes=0\t-\t9", Unsatisfiable()),
    case("bytes=0-9\n", Unsatisfiable()),
    case("bytes=0-9\x00", Unsatisfiable()),
    case("bytes=\u00a00-9", Unsatisfiable(), "no-break space is no white space"),
    case("bytes=\u0660-\u0669", Unsatisfiable(), "arabic-indic digits"),
    case("bytes=\uff10-\uff19", Unsatisfiable(), "full-width digits"),
    case("bytes=0-\u00b2", Unsatisfiable(), "superscript two"),
    case("bytes=0\u20139", Unsatisfiable(), "en dash"),
]
OTHER_UNITS = [
    case(None, Whole(), "no header"),
    case("", Whole(), "empty header"),
    case("items=0-9", Whole()),
    case("items=0-1,5-6", Whole()),
    case("none", Whole()),
    case("0-9", Whole()),
    case("=0-9", Whole()),
    case("bytes2=0-9", Whole()),
    case("byte=0-9", Whole()),
    case("\u00a0bytes=0-9", Whole(), "no-break space before the unit"),
    case("byte\u017f=0-9", Whole(), "long s is no s"),
]
TOLERATED = [
    case("Bytes=0-9", ZERO_TO_NINE),
    case("BYTES=0-9", ZERO_TO_NINE),
    case("bYtEs=0-9", ZERO_TO_NINE),
    case("  bytes=0-9  ", ZERO_TO_NINE),
    case("\tbytes=0-9\t", ZERO_TO_NINE),
    case("bytes =0-9", ZERO_TO_NINE),
    case("bytes= 0-9", ZERO_TO_NINE),
    case("bytes\t=\t0-9", ZERO_TO_NINE),
    case(" \t BYTES \t = \t -10 \t ", ByteRange(990, SIZE)),
]


@pytest.mark.parametrize(
    ("header", "expected"),
    [*SATISFIED, *CLAMPED, *SUFFIXES, *UNSATISFIABLE, *MALFORMED, *OTHER_UNITS, *TOLERATED],
)
def test_resolve_range(header: str | None, expected: object) -> None:
    assert resolve_range(header, SIZE) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Whole()),
        ("items=0-9", Whole()),
        ("bytes=0-", Unsatisfiable()),
        ("bytes=0-0", Unsatisfiable()),
        ("bytes=-1", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
    ],
)
def test_an_empty_body_has_no_part(header: str | None, expected: object) -> None:
    assert resolve_range(header, 0) == expected


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-2", f"bytes=0-{NINES}"])
def test_a_body_of_one_byte(header: str) -> None:
    assert resolve_range(header, 1) == ByteRange(0, 1)


def test_the_last_byte_of_the_largest_object() -> None:
    size = 5 * 1024**4
    assert resolve_range(f"bytes={size - 1}-", size) == ByteRange(size - 1, size)
    assert resolve_range(f"bytes={size}-", size) == Unsatisfiable()


def test_a_part_describes_itself() -> None:
    part = ByteRange(10, 20)
    assert part.length == 10
    assert part.as_request() == "bytes=10-19"
    assert part.as_content_range(SIZE) == "bytes 10-19/1000"


sizes = st.integers(0, 5 * 1024**4)
range_like = st.text(st.sampled_from("bytesBYTES=-,0123456789 \t\u0663"), max_size=40)
numbers = st.one_of(st.just(""), st.integers(0, 10**25).map(str))
well_formed = st.builds("bytes={}-{}".format, numbers, numbers)


@unhurried
@given(header=st.one_of(st.text(), range_like, range_like.map("bytes={}".format), well_formed), size=sizes)
@example(header=f"bytes={NINES}-{NINES}", size=2**63)
@example(header="bytes=\ud800-", size=1)
def test_any_part_lies_within_the_body(header: str, size: int) -> None:
    asked = resolve_range(header, size)
    if isinstance(asked, ByteRange):
        assert 0 <= asked.start < asked.stop <= size
        assert asked.length == asked.stop - asked.start
    else:
        assert asked in (Whole(), Unsatisfiable())


@unhurried
@given(size=st.integers(1, 5 * 1024**4), data=st.data())
def test_a_part_asked_for_again_is_the_same_part(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 1))
    part = ByteRange(start, data.draw(st.integers(start + 1, size)))
    assert resolve_range(part.as_request(), size) == part


@unhurried
@given(first=st.integers(0, 200), last=st.integers(0, 200), size=st.integers(0, 150))
def test_a_range_is_the_slice_it_names(first: int, last: int, size: int) -> None:
    body = bytes(size)
    wanted = body[first : last + 1] if first <= last else b""
    asked = resolve_range(f"bytes={first}-{last}", size)
    assert (asked.length if isinstance(asked, ByteRange) else 0) == len(wanted)
