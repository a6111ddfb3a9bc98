"""What others wrote does nothing to a terminal, and a line stays one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.printable import escape_unprintable

DANGEROUS = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]


def test_control_and_bidi_characters_are_escaped() -> None:
    for code in DANGEROUS:
        escaped = escape_unprintable(f"a{chr(code)}b")
        assert chr(code) not in escaped
        assert escaped[:2] == "a\\"
        assert escaped.isprintable()


def test_escapes_are_those_of_python() -> None:
    assert escape_unprintable("\x1b]0;pwned\x07\u202e\n\udcff") == r"\x1b]0;pwned\x07\u202e\n\udcff"


def test_line_breaks_of_our_own_can_be_kept() -> None:
    assert escape_unprintable("a\n\x1bb\tc", keep="\n") == "a\n\\x1bb\\tc"


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]) | st.just(" ")))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escape_unprintable(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_the_result_is_printable_and_escaping_twice_changes_nothing(text: str) -> None:
    escaped = escape_unprintable(text)
    assert escaped.isprintable()
    assert escape_unprintable(escaped) == escaped
