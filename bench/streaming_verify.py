"""Checks that every server answers rightly, byte for byte, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import urllib3
from streaming_plan import MIB, ControlCall, Read, Workload
from streaming_servers import USER, Server

SAMPLES = 50


class WrongAnswer(SystemExit):
    """A server answered something else than it must."""


def warm(server: Server, image: Path) -> None:
    """Read every block of the image once, and compare it."""
    size = image.stat().st_size
    blocks = [Read(start, min(start + MIB, size)) for start in range(0, size, MIB)]
    _check_reads(server, "warming", blocks, image)


def verify_reads(server: Server, workload: Workload, image: Path) -> int:
    """Check some of the workload's reads, spread evenly; return how many."""
    plan = workload.plan(image.stat().st_size)
    some = plan[:: -(-len(plan) // SAMPLES)]
    _check_reads(server, workload.name, some, image)
    return len(some)


def _check_reads(server: Server, what: str, reads: Sequence[Read], image: Path) -> None:
    size = image.stat().st_size
    with urllib3.PoolManager(retries=False, timeout=60) as http, image.open("rb") as source:
        for read in reads:
            whole = read.stop is None
            span = f"{read.start}-{read.start + read.length(size) - 1}"
            headers = {} if whole else {"Range": f"bytes={span}"}
            answer = http.request("GET", server.url, headers=headers, preload_content=False)
            found = (answer.status, answer.headers.get("Content-Length"), answer.headers.get("Content-Range"))
            must = (200, str(size), None) if whole else (206, str(read.length(size)), f"bytes {span}/{size}")
            if found != must:
                raise WrongAnswer(f"{server.name}, {what}: {found} instead of {must}: {answer.read(500)!r}")
            source.seek(read.start)
            for block in answer.stream(MIB):
                if block != source.read(len(block)):
                    raise WrongAnswer(f"{server.name}, {what}: wrong bytes in {span}")
            if source.tell() != read.start + read.length(size):
                raise WrongAnswer(f"{server.name}, {what}: the body of {span} is short")
            answer.release_conn()


def verify_control(server: Server, call: ControlCall, size: int) -> int:
    """Check some answers of a route; return how many."""
    url = f"http://{server.host}{call.target}"
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        for _ in range(SAMPLES):
            answer = http.request(call.method, url, headers={"X-User-Id": USER}, json=call.body)
            if answer.status != 200 or not _is_right(call.name, answer, size):
                raise WrongAnswer(f"{server.name}, {call.name}: {answer.status} {answer.data[:500]!r}")
    return SAMPLES


def _is_right(name: str, answer: urllib3.BaseHTTPResponse, size: int) -> bool:
    document = answer.json()
    match name:
        case "metadata":
            return document["size"] == size
        case "stream-url":
            cookies = [line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie")]
            return document["auth"]["type"] == "cookie" and {
                "CloudFront-Policy",
                "CloudFront-Signature",
                "CloudFront-Key-Pair-Id",
            } <= set(cookies)
        case "images":
            return len(document["images"]) > 1
        case "upload-url":
            return "X-Amz-Signature=" in document["url"]
        case "upload-urls":
            return [part["partNumber"] for part in document["urls"]] == list(range(1, 101))
    raise AssertionError(name)
