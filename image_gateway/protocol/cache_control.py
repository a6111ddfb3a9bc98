"""Reads and checks Cache-Control values (RFC 9111 section 5.2)."""

from __future__ import annotations

import re

# The catalog stores up to 512 characters; other characters do not belong into a header.
_VALUE = re.compile(r"[!-~][ -~]{0,510}[!-~]", re.ASCII)
LATEST_MAX_AGE_SECONDS = 60


def directives(value: str | None) -> set[str]:
    """Return the names of the directives in lower case, without their arguments."""
    parts = (value or "").split(",")
    return {part.partition("=")[0].strip().lower() for part in parts} - {""}


def forbids_transformation(value: str | None) -> bool:
    """Return whether `no-transform` is present, so that no proxy compresses or changes the bytes."""
    return "no-transform" in directives(value)


def check_cache_control(value: str) -> str:
    """Return a value for objects of chunked images. Raises ValueError, which says what is wrong."""
    if not _VALUE.fullmatch(value):
        raise ValueError("Cache-Control must have 2 to 512 printable ASCII characters")
    if not forbids_transformation(value):
        raise ValueError("Cache-Control must hold no-transform: readers of chunks refuse anything else")
    return value


def short_lived(value: str) -> str:
    """Return the value for an object that changes, beside immutable ones that have `value`."""
    names = directives(value)
    if "no-store" in names:
        return "private, no-store, no-transform"
    scope = "public" if "public" in names else "private"
    return f"{scope}, max-age={LATEST_MAX_AGE_SECONDS}, no-transform"
