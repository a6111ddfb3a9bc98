"""Content-Digest, as RFC 9530 writes it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.protocol.content_digest import parse_content_digest

DIGEST = bytes(range(32))
TEXT = f"sha-256=:{base64.b64encode(DIGEST).decode()}:"


@pytest.mark.parametrize(
    "header",
    [
        TEXT,
        f" {TEXT} ",
        f"{TEXT};x=1",
        f"{TEXT}; x",
        f"sha-512=:AAAA:,\t{TEXT}",
        f"{TEXT}, unixsum=::",
        f"sha-256=:{'A' * 43}=:, {TEXT}",
    ],
)
def test_the_sha256_is_found(header: str) -> None:
    """Of a repeated key the last value counts (RFC 9651 §4.2.2)."""
    assert parse_content_digest(header) == DIGEST


def test_other_algorithms_are_none() -> None:
    assert parse_content_digest("sha-512=:AAAA:, md5=:AAAA:") is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        f"{TEXT},",
        "sha-256",
        "sha-256=",
        "sha-256=AAAA",
        "sha-256=:AAAA",
        "sha-256=:AAAA:",
        "sha-256=::",
        "SHA-256=:AAAA:",
        TEXT.replace("sha-256=", "sha-256 = "),
        TEXT.replace("=:", "=: ", 1),
        TEXT.replace("=:", "=", 1),
        f"sha-256=:{'A' * 44}:",
        f"sha-256=:{'A' * 42}=:",
        f"sha-256=:{'-' * 43}=:",
        "sha-256=:é:",
    ],
)
def test_what_is_malformed(header: str) -> None:
    with pytest.raises(ValueError, match="sha-256"):
        parse_content_digest(header)


@given(st.text(max_size=80))
def test_nothing_else_is_raised(header: str) -> None:
    try:
        found = parse_content_digest(header)
    except ValueError:
        return
    assert found is None or len(found) == 32
