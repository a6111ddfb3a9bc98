"""Cache-Control values: read, checked, shortened."""

from __future__ import annotations

import pytest

from image_gateway.protocol.cache_control import (
    check_cache_control,
    directives,
    forbids_transformation,
    short_lived,
)


@pytest.mark.parametrize(
    ("value", "forbids"),
    [
        ("no-transform", True),
        ("public, max-age=9,No-Transform", True),
        ("private ,\tno-transform ", True),
        ("no-transformation", False),
        ("x-no-transform", False),
        ("public", False),
        ("", False),
        (None, False),
    ],
)
def test_no_transform_is_a_directive(value: str | None, forbids: bool) -> None:
    assert forbids_transformation(value) is forbids


def test_directives_are_named_without_arguments() -> None:
    assert directives('Public, max-age = 9, private="set-cookie",,') == {"public", "max-age", "private"}


@pytest.mark.parametrize("value", ["no-transform", "public, max-age=1, no-transform"])
def test_a_usable_value(value: str) -> None:
    assert check_cache_control(value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("public, max-age=9", "no-transform"),
        ("no-transform\r\nX: y", "printable"),
        ("no-transform\n", "printable"),
        (" no-transform", "printable"),
        ("", "printable"),
        ("no-transform," + "x" * 500, "printable"),
        ("no-transform, \N{LATIN SMALL LETTER E WITH ACUTE}", "printable"),
    ],
)
def test_a_value_that_readers_refuse(value: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check_cache_control(value)


@pytest.mark.parametrize(
    ("value", "short"),
    [
        ("private, no-store, no-transform", "private, no-store, no-transform"),
        ("public, max-age=31536000, immutable, no-transform", "public, max-age=60, no-transform"),
        ("private, max-age=31536000, no-transform", "private, max-age=60, no-transform"),
        ("no-transform", "private, max-age=60, no-transform"),
    ],
)
def test_what_changes_lives_shortly(value: str, short: str) -> None:
    assert short_lived(value) == short
