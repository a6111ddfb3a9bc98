from __future__ import annotations

import pytest

from tests.support.numbers import Numbers


@pytest.fixture
def numbers() -> Numbers:
    """What is counted from here on."""
    return Numbers()
