"""One test at two depths: a short form for `make test`, and a long one that `make test-all` runs instead."""

from __future__ import annotations

from typing import Any

import pytest


def depths(short: Any, long: Any) -> list[Any]:
    """The values of one parameter; the short one is marked `shallow`, the long one `thorough` and `deep`."""
    return [
        pytest.param(short, id="short", marks=pytest.mark.shallow),
        pytest.param(long, id="long", marks=[pytest.mark.thorough, pytest.mark.deep]),
    ]
