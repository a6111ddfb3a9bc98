"""Only what a client's formula makes is a name; held against a list of all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.views import infinite_mac, sqlite, tinyemu, v86, webvm
from tests.support.view_names import NAME, all_names

ROOT = "https://gateway.test/v1/l/token"
FINDERS: dict[str, Callable[[int, str], object]] = {
    "v86": lambda size, name: v86.find(size, "512", name),
    "tinyemu": lambda size, name: tinyemu.find(size, "1", name),
    "infinite-mac": lambda size, name: infinite_mac.find(size, "512", name, ""),
    "webvm": webvm.find,
    "sqlite": lambda size, name: sqlite.find(size, "512", name, ROOT),
}


@pytest.mark.parametrize("view", FINDERS)
@given(name=NAME, size=st.integers(0, 4000))
def test_only_what_the_formula_makes_is_found(view: str, name: str, size: int) -> None:
    assert (FINDERS[view](size, name) is not None) == (name in all_names(view, size))
