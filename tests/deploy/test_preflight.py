"""The CloudFront function in node, by its own test runner."""

from __future__ import annotations

from pathlib import Path

from tests.console.test_modules import complaint
from tests.support.installed import require_installed


def test_preflights_are_answered_at_the_edge() -> None:
    require_installed("node")
    assert complaint(Path(__file__).parent / "preflight.test.mjs") is None
