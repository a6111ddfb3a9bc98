"""Keys and paths of an image: no owner, however named, can bend them."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from image_gateway.protocol.layout import ImageLocation, chunk_name, normalise_base_path, owner_key
from image_gateway.settings import load_settings

IMAGE, VERSION = "6f1d", "v-0001"
HOSTILE_OWNERS = [
    "",
    "alice",
    "Alice",
    "alice ",
    "../../x",
    "..",
    ".",
    "/",
    "//",
    "/etc/passwd",
    "a/b?c*%#",
    "a%2fb",
    "a\\b",
    "*",
    "?",
    "a b",
    "a\tb\r\nX-Evil: 1",
    "a\x00b",
    "\x7f\x1b[31m",
    "\u00fc\u00f1\u00ed",
    "u\u0308n\u0303i\u0301",
    "\u5c71\u7530",
    "\u202egnp.exe",
    "\U0001f4be",
    "0" * 40,
    "x" * 10_000,
]
unhurried = settings(deadline=None)


def place(owner: str, base_path: str = "/images") -> ImageLocation:
    return ImageLocation(base_path, owner, IMAGE, VERSION)


@pytest.mark.parametrize("owner", HOSTILE_OWNERS, ids=ascii)
def test_the_key_of_an_owner_holds_only_hex(owner: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", owner_key(owner))
    assert re.fullmatch(rf"images/[0-9a-f]{{40}}/{IMAGE}/{VERSION}/disk\.img", place(owner).disk_key)


def test_hostile_owners_are_kept_apart() -> None:
    assert len({owner_key(owner) for owner in HOSTILE_OWNERS}) == len(HOSTILE_OWNERS)


def test_the_key_of_an_owner_never_changes() -> None:
    """Stored objects lie under it: another derivation would lose them."""
    assert owner_key("alice") == "2bd806c97f0e00af1a1fc3328fa763a9269723c8"
    assert owner_key("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4"


@unhurried
@given(owner=st.text(), other=st.text())
def test_different_owners_differ(owner: str, other: str) -> None:
    assume(owner != other)
    assert re.fullmatch(r"[0-9a-f]{40}", owner_key(owner))
    assert owner_key(owner) != owner_key(other)


def test_everything_lies_under_one_prefix() -> None:
    location = place("alice")
    prefix = f"images/{owner_key('alice')}/{IMAGE}/{VERSION}/"
    assert location.prefix == prefix
    assert location.path == f"/{prefix[:-1]}"
    assert location.disk_key == f"{prefix}disk.img"
    assert location.manifest_key == f"{prefix}manifest.json"
    assert location.chunks_prefix == f"{prefix}chunks/"
    assert location.chunk_key(42, 8) == f"{prefix}chunks/00000042.bin"


@pytest.mark.parametrize(
    ("index", "width", "name"),
    [
        (0, 8, "00000000.bin"),
        (1, 8, "00000001.bin"),
        (99_999_999, 8, "99999999.bin"),
        (100_000_000, 8, "100000000.bin"),
        (0, 1, "0.bin"),
        (10, 1, "10.bin"),
        (499_999, 6, "499999.bin"),
        (7, 32, "0" * 31 + "7.bin"),
    ],
)
def test_chunk_names(index: int, width: int, name: str) -> None:
    assert chunk_name(index, width) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("/images", "/images"),
        ("images", "/images"),
        ("images/", "/images"),
        ("/images/", "/images"),
        ("//images//", "/images"),
        ("/a/b", "/a/b"),
        ("//a//b/", "/a/b"),
        ("a///b", "/a/b"),
    ],
)
def test_base_paths(text: str, expected: str) -> None:
    assert normalise_base_path(text) == expected


@unhurried
@given(text=st.text("ab/", max_size=30))
def test_a_base_path_has_no_empty_segment(text: str) -> None:
    path = normalise_base_path(text)
    assert normalise_base_path(path) == path
    assert re.fullmatch(r"(/[ab]+)*", path)
    assert path.replace("/", "") == text.replace("/", "")


@pytest.mark.parametrize(
    ("base", "start"),
    [("/", ""), ("//", ""), ("/images", "images/"), ("images/", "images/"), ("//a//b/", "a/b/")],
)
def test_no_key_starts_with_a_slash_or_doubles_one(base: str, start: str) -> None:
    environment = {"S3_BUCKET": "images", "AWS_REGION": "us-east-1", "IMAGE_BASE_PATH": base}
    location = place("alice", load_settings(environment).image_base_path)
    keys = [location.prefix, location.disk_key, location.manifest_key, location.chunk_key(0, 8)]
    assert all(key.startswith(f"{start}{owner_key('alice')}/") for key in keys)
    assert not any("//" in key or key.startswith("/") for key in keys)
    assert location.path == f"/{location.prefix[:-1]}"
