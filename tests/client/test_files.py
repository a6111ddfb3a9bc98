"""Slices of local files, spans of bytes, and the memory of an upload."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.client.files import FileSlice, Journal, Remembered, cache_folder, gaps, merged

SPAN = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(SPAN), st.integers(1, 9))
def test_spans_and_gaps_are_all_there_is(spans: list[tuple[int, int]], step: int) -> None:
    covered = {byte for start, stop in spans for byte in range(start, stop)}
    missing = [byte for start, stop in gaps(spans, 60, step) for byte in range(start, stop)]
    assert sorted(missing) == sorted(set(range(60)) - covered)
    assert all(0 < stop - start <= step for start, stop in gaps(spans, 60, step))
    assert {byte for start, stop in merged(spans) for byte in range(start, stop)} == covered


def test_a_slice_reads_its_own_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    heard: list[int] = []
    with FileSlice(tmp_path / "f", 2, 5, stop=threading.Event(), on_bytes=heard.append) as part:
        assert len(part) == 5
        assert [part.read(2), part.read(99), part.read(99)] == [b"23", b"456", b""]
    assert sum(heard) == 5


def test_memory_of_nonsense_is_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a" / "b", "http://x", tmp_path / "disk")
    assert journal.read() is None
    remembered = Remembered("http://x", "image", "upload", 1, 2)
    journal.write(remembered)
    assert journal.read() == remembered
    for nonsense in ("", "[]", "{}", '{"api": 1}'):
        journal.path.write_text(nonsense)
        assert journal.read() is None
    journal.forget()
    journal.forget()


def test_memory_is_by_gateway_and_file(tmp_path: Path) -> None:
    paths = {Journal(tmp_path, api, Path(file)).path for api in ("a", "b") for file in ("x", "y")}
    assert len(paths) == 4


def test_the_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/image-gateway/uploads")
    for environment in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert cache_folder(environment) == Path("/home/me/.cache/image-gateway/uploads")
