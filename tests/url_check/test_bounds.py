"""A check reads no more and waits no longer than it may, whatever the server does."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from image_gateway.url_check.answers import Limits
from image_gateway.url_check.check import check_url
from image_gateway.url_check.report import UrlReport, Verdict
from image_gateway.url_check.target import Target
from tests.support.byte_server import serving_bytes

MIB = 1024 * 1024
HUGE = 1024 * MIB
# What lies in the buffers of two sockets when the reader stops.
ON_ITS_WAY = MIB
SOON = Limits(connect=1, stall=0.5, request=1, total=2)


def codes(report: UrlReport) -> list[str]:
    return [finding.code for check in report.checks for finding in check.findings]


def zeros(count: int) -> Iterator[bytes]:
    for start in range(0, count, 16_384):
        yield bytes(min(16_384, count - start))


def huge_file(request: bytes) -> Iterator[bytes]:
    """A gibibyte of zeros, with ranges."""
    spec = re.search(rb"Range: bytes=(\d+)-(\d*)", request)
    first, last = (int(spec[1]), min(int(spec[2] or HUGE), HUGE - 1)) if spec else (0, HUGE - 1)
    if first >= HUGE:
        yield b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n"
        return
    status = f"206 Partial Content\r\nContent-Range: bytes {first}-{last}/{HUGE}" if spec else "200 OK"
    length = f"Content-Length: {last - first + 1}\r\nAccept-Ranges: bytes\r\n"
    yield f"HTTP/1.1 {status}\r\n{length}\r\n".encode()
    if not request.startswith(b"HEAD"):
        yield from zeros(last - first + 1)


def test_little_is_read_of_a_huge_file() -> None:
    with serving_bytes(huge_file) as server:
        report = check_url(Target(f"{server.url}/disk.img"))
        assert report.facts["Ranges"] == "yes"
        assert report.bytes_read < MIB
        assert server.sent < MIB + ON_ITS_WAY * report.requests
        assert not [check for check in report.checks if "budget" in (check.skipped or "")]


def test_max_bytes_are_a_limit() -> None:
    with serving_bytes(huge_file) as server:
        report = check_url(Target(f"{server.url}/disk.img"), Limits(max_bytes=300_000))
        assert report.bytes_read <= 300_000
        skipped = [check.skipped for check in report.checks if check.skipped]
        assert skipped[0] == "budget-exhausted: --max-bytes allows no further reads"
        # What reads nothing goes on.
        assert any(check.name == "Content-Encoding" for check in report.checks)
        verdict = next(each for each in report.verdicts if each.client == "aria2")
        assert (verdict.verdict, verdict.because) == (Verdict.WORKS, "as far as it was tried")


def test_a_server_that_says_nothing() -> None:
    silence = threading.Event()

    def wait(_: bytes) -> Iterator[bytes]:
        silence.wait(20)
        yield b""

    with serving_bytes(wait) as server:
        started = time.monotonic()
        report = check_url(Target(server.url), SOON)
        silence.set()
    assert codes(report) == ["timeout"]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("header", [b"X-Slow: ", b"Content-Length: 999\r\n\r\n"])
def test_a_server_that_sends_byte_by_byte(header: bytes) -> None:
    over = threading.Event()

    def drip(_: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n" + header
        while not over.wait(0.1):
            yield b"x"

    with serving_bytes(drip) as server:
        report = check_url(Target(server.url), SOON)
        over.set()
    assert codes(report) == ["timeout"]


def test_a_server_that_is_not_there() -> None:
    with serving_bytes(huge_file) as ended:
        url = ended.url
    report = check_url(Target(url), SOON)
    assert codes(report) == ["unreachable"]
    assert report.checks[0].findings[0].what == "GET failed: Connection refused"
    assert {each.verdict for each in report.verdicts} == {Verdict.BREAKS, Verdict.NOT_FOR_IT}


def test_a_server_that_stops_answering_is_not_asked_for_ever() -> None:
    over = threading.Event()

    def answer_once(request: bytes) -> Iterator[bytes]:
        if b"Range:" in request or not request.startswith(b"GET"):
            over.wait(20)
            return
        yield from huge_file(request)

    with serving_bytes(answer_once) as server:
        report = check_url(Target(f"{server.url}/disk.img"), Limits(stall=0.3, request=1))
        over.set()
        assert codes(report) == ["timeout"]
        skipped = {check.subject for check in report.checks if check.skipped}
        assert skipped == {"ranges", "validators", "headers", "CORS", "access"}
        assert report.requests < 5
