from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cloudformation import Stack, load_template

FOLDER = Path(__file__).parents[2] / "deploy" / "cloudfront"
KEY = "{0}BEGIN PUBLIC KEY{0}\nMIIBIjANBgkq\n{0}END PUBLIC KEY{0}".format("-" * 5)
ORIGINS = "https://app.example.com,https://admin.example.com"
LEAST = {"AllowedOrigins": ORIGINS, "FirstPublicKey": KEY}


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return load_template(FOLDER / "template.yaml")


@pytest.fixture(scope="session")
def stack(template: dict[str, Any]) -> Stack:
    """The template with as few parameters as possible."""
    return Stack(template, LEAST)
