"""Recorded reads are found in logs: by image and lease, in the order in which they began."""

from __future__ import annotations

import json
from typing import Any

import pytest

from image_gateway.protocol import recorded_reads
from image_gateway.protocol.recorded_reads import RecordedReads

IMAGE = "00000000-0000-4000-8000-000000000001"
SIZE = 1000


def line(start: int = 0, stop: int = 10, *, at: int = 0, took: float = 0, **more: Any) -> bytes:
    facts = {
        "time": f"2026-11-22T19:00:{at:02d}.000Z",
        "event": "request",
        "bytes": stop - start,
        "complete": True,
        "duration_ms": took,
        "image": IMAGE,
        "lease": "a",
        "range_start": start,
        "range_stop": stop,
    }
    return json.dumps(facts | more).encode() + b"\n"


def found_in(*lines: bytes) -> RecordedReads:
    reads = RecordedReads(IMAGE, SIZE)
    reads.add(lines)
    return reads


def test_reads_are_in_the_order_in_which_they_began() -> None:
    """Workers write a line when a body has ended."""
    reads = found_in(
        line(20, 30, at=3, took=1000), line(0, 10, at=4, took=3500), line(30, 40, at=5, took=2500.5)
    )
    assert reads.of_lease("a") == [(0, 10), (20, 30), (30, 40)]


def test_leases_are_apart_and_other_images_are_ignored() -> None:
    reads = found_in(line(), line(lease="b"), line(lease="b", at=1), line(image="other"), line(lease=None))
    assert reads.leases == {"a": 1, "b": 2}
    assert reads.of_lease("c") == []


def test_what_a_client_did_not_take_was_not_read() -> None:
    reads = found_in(line(0, 900, complete=False, bytes=100), line(0, 900, complete=False, bytes=0))
    assert reads.of_lease("a") == [(0, 100)]
    assert found_in(line(0, 900, complete=False, bytes=None)).of_lease("a") == [(0, 900)]
    # A compressed body.
    assert found_in(line(0, 900, bytes=100)).of_lease("a") == [(0, 900)]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"range_start": 1',
        b'["range_start"]\n',
        b'"range_start"\n',
        line(range_start="0"),
        line(range_stop=None),
        line(5, 5),
        line(-1, 5),
        line(0, SIZE + 1),
        line(time="yesterday"),
        line(time=None),
        line(duration_ms=[]),
        b"\xff\xfe\n",
        b"[" * 5000 + b'"range_start"',
    ],
)
def test_bad_lines_are_ignored(bad: bytes) -> None:
    assert found_in(bad, line()).of_lease("a") == [(0, 10)]
    assert found_in(bad).leases == {}


def test_what_log_collectors_put_before_a_line_is_ignored() -> None:
    assert found_in(b"gateway-1  | " + line()).of_lease("a") == [(0, 10)]


def test_formats_are_told_apart() -> None:
    text = b"2026-11-22T19:00:00.000Z INFO 7 image_gateway.request: request request_id=a range_start=1\n"
    plain = b'{"event": "image-gateway listens"}\n'
    assert [(reads.is_json, reads.is_text) for reads in map(found_in, (text, plain, b"hello\n"))] == [
        (False, True),
        (True, False),
        (False, False),
    ]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_reads, "MAX_READS", 2)
    reads = found_in(line(), line(lease="b"), line(lease="b"), line())
    assert (reads.leases, reads.dropped) == ({"a": 1, "b": 1}, 2)
