"""The small pieces: plans of parts, spans, workers, memory."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_gateway.client.answers import Lease, NewUpload, SignedParts
from image_gateway.client.api import GatewayClient
from image_gateway.client.credentials import FixedCredentials, bearer
from image_gateway.client.errors import Stopped
from image_gateway.client.file_slices import FileSlice, PartPlan
from image_gateway.client.leases import read_link
from image_gateway.client.parallel import for_each
from image_gateway.client.resume_files import Journal, Remembered, cache_folder, gaps, merged

SPAN = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (min(pair), max(pair)))


@given(st.integers(0, 10_000), st.integers(1, 999))
def test_parts_cover_the_file_once(size: int, part_size: int) -> None:
    plan = PartPlan(size, part_size)
    position = 0
    for number in plan.numbers:
        assert plan.start(number) == position
        position += plan.length(number)
    assert position == size
    assert all(plan.length(number) == part_size for number in list(plan.numbers)[:-1])


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


def test_workers_do_everything_once() -> None:
    done: list[int] = []
    for_each(done.append, range(100), parallel=7, stop=threading.Event())
    assert sorted(done) == list(range(100))


def test_the_first_error_stops_the_others() -> None:
    stop, begun = threading.Event(), threading.Barrier(2)

    def work(item: int) -> None:
        begun.wait(10)
        if item == 0:
            raise ValueError("the cause")
        stop.wait(10)
        raise Stopped

    with pytest.raises(ValueError, match="the cause"):
        for_each(work, range(100), parallel=2, stop=stop)


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


def test_no_repr_holds_a_secret() -> None:
    now = datetime.now(UTC)
    values = [
        NewUpload("image", "SECRET", 1),
        SignedParts({1: "SECRET"}, now, now),
        Remembered("api", "image", "SECRET", 1, 2),
        bearer("SECRET"),
        Lease("lease", "image", bearer("SECRET"), 1, False),
        read_link("SECRET", "api"),
        GatewayClient("http://x", FixedCredentials(bearer("SECRET"))),
        FixedCredentials(bearer("SECRET")),
    ]
    assert "SECRET" not in repr(values)
