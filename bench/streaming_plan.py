"""What is asked for: workloads over one image, and calls of the control plane. Pure and repeatable."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024
SECTOR = 4 * KIB
READS = 4096
BOOT_READS = 300
BOOT_SIZES = {4: 30, 8: 15, 16: 15, 32: 12, 64: 12, 128: 10, 256: 6}
REPLAY_READS = 2000
REPLAY_SIZES = {4: 30, 8: 20, 16: 20, 32: 12, 64: 10, 128: 8}
CONTROL_CONNECTIONS = 8


@dataclass(frozen=True)
class Read:
    """A range of the image; all of it when `stop` is None."""

    start: int = 0
    stop: int | None = None

    def length(self, size: int) -> int:
        return (size if self.stop is None else self.stop) - self.start


@dataclass(frozen=True)
class Workload:
    """Reads that each of some connections makes, one after the other.

    Bodies that are `large` are read by streaming_reader, others by wrk. Clients in `step` each make all reads
    from the first on; others share them out. A `replay` ends when each client has made all reads once.
    """

    name: str
    title: str
    connections: int
    reads: Callable[[int, random.Random], list[Read]]
    large: bool = False
    step: bool = False
    replay: bool = False

    def plan(self, size: int) -> list[Read]:
        """The reads of an image of `size` bytes, the same each time."""
        return self.reads(size, random.Random(self.name))


@dataclass(frozen=True)
class Call:
    """A request as it goes over the wire, and the status and body length that its answer must have.

    Without a length any body will do that is not empty; that of a 304 may be.
    """

    head: str
    status: int
    length: int | None = None


@dataclass(frozen=True)
class ControlCall:
    """A route of the control plane; `body` is sent as JSON."""

    name: str
    method: str
    target: str
    body: object = None

    def call(self, host: str, user: str) -> Call:
        body = "" if self.body is None else json.dumps(self.body)
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}", f"X-User-Id: {user}"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return Call("\r\n".join([*lines, "", body]), 200)


def read_call(read: Read, host: str, target: str, size: int) -> Call:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}"]
    if read.stop is not None:
        lines.append(f"Range: bytes={read.start}-{read.stop - 1}")
    return Call("\r\n".join([*lines, "", ""]), 200 if read.stop is None else 206, read.length(size))


def random_reads(length: int, align: int) -> Callable[[int, random.Random], list[Read]]:
    def reads(size: int, dice: random.Random) -> list[Read]:
        starts = [dice.randint(0, (size - length) // align) * align for _ in range(READS)]
        return [Read(start, start + length) for start in starts]

    return reads


def boot_trace(size: int, dice: random.Random) -> list[Read]:
    """Reads as a booting system makes them: runs within a dozen places, small ones most often."""
    places = [dice.randrange(size // SECTOR) * SECTOR for _ in range(12)]
    trace: list[Read] = []
    at = 0
    while len(trace) < BOOT_READS:
        chance = dice.random()
        if chance < 0.1:
            at = dice.choice(places)
        elif chance < 0.3:
            at += dice.randint(-256, 256) * SECTOR
        length = dice.choices(list(BOOT_SIZES), list(BOOT_SIZES.values()))[0] * KIB
        at = max(0, min(at, size - length))
        trace.append(Read(at, at + length))
        at += length
    return trace


def replay_trace(size: int, dice: random.Random) -> list[Read]:
    """Runs of reads one after the other, now and then with a gap, by jumps over the whole image.

    A third of the jumps lead to where a run has begun before.
    """
    starts: list[int] = []
    trace: list[Read] = []
    while len(trace) < REPLAY_READS:
        again = starts and dice.random() < 1 / 3
        at = dice.choice(starts) if again else dice.randrange(size // SECTOR) * SECTOR
        starts.append(at)
        for _ in range(min(1 + int(dice.expovariate(1 / 12)), REPLAY_READS - len(trace))):
            length = dice.choices(list(REPLAY_SIZES), list(REPLAY_SIZES.values()))[0] * KIB
            at = min(at, size - length)
            trace.append(Read(at, at + length))
            at += length
            if dice.random() < 0.1:
                at += dice.randint(1, 16) * SECTOR
    return trace


WORKLOADS = (
    Workload("whole", "whole image, 1 connection", 1, lambda _size, _dice: [Read()], large=True),
    *(
        Workload(f"1m-{count}", f"random aligned 1 MiB, {count}", count, random_reads(MIB, MIB), large=True)
        for count in (1, 8, 32)
    ),
    *(
        Workload(f"64k-{count}", f"random 64 KiB, {count}", count, random_reads(64 * KIB, SECTOR))
        for count in (8, 32)
    ),
    Workload("4k-8", "random 4 KiB, 8", 8, random_reads(SECTOR, SECTOR)),
    Workload("boot-32", "boot trace, 32 clients", 32, boot_trace, step=True),
    Workload("replay-32", "trace replayed once, 32 clients", 32, replay_trace, step=True, replay=True),
)
CONTROL = ("metadata", "stream-url", "images", "upload-url", "upload-urls")


def control_calls(image_id: str, upload_image: str, upload_id: str) -> list[ControlCall]:
    """The calls of CONTROL: about a complete image, and about one whose upload is under way."""
    image, upload = f"/v1/images/{image_id}", f"/v1/images/{upload_image}"
    numbers = list(range(1, 101))
    return [
        ControlCall("metadata", "GET", f"{image}/metadata"),
        ControlCall("stream-url", "GET", f"{image}/stream-url"),
        ControlCall("images", "GET", "/v1/images"),
        ControlCall("upload-url", "POST", f"{upload}/upload-url", {"uploadId": upload_id, "partNumber": 1}),
        ControlCall(
            "upload-urls", "POST", f"{upload}/upload-urls", {"uploadId": upload_id, "partNumbers": numbers}
        ),
    ]
