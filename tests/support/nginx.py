"""Leaves tests that need nginx out, visibly, where it is not installed; CI may not."""

from __future__ import annotations

import os

import pytest

from image_gateway.local.edge import require_nginx
from image_gateway.local.processes import StartFailed


def require_nginx_or_skip() -> None:
    """Skip the test unless nginx is installed; fail in CI."""
    try:
        require_nginx()
    except StartFailed as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
