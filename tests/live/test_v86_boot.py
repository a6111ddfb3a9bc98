"""v86 in Chromium boots an uploaded disk by the view that the gateway offers for it."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from tests.support.boot_disk import GREETING, SECTOR, WAITING, Read, make_boot_disk
from tests.support.v86_browser import Guest, booted, require_v86, serving_page

PART = 262_144
PER_PART = PART // SECTOR
# 33 parts, of which the last one has 5 sectors and is padded; one has zeros only.
ZEROS_PART = 16
SIZE = 32 * PART + 5 * SECTOR
_RANDOM = random.Random(86)
CONTENT = _RANDOM.randbytes(ZEROS_PART * PART) + bytes(PART) + _RANDOM.randbytes(SIZE - 17 * PART)
READS = [
    Read(4 * PER_PART + 3, 8),
    Read(8 * PER_PART - 4, 8),  # from two parts
    Read(ZEROS_PART * PER_PART, 4),
    Read(32 * PER_PART, 5),  # up to the last sector
]
PARTS = [0, 4, 7, 8, ZEROS_PART, 32]
LATER, LATER_PART = Read(24 * PER_PART + 1, 8), 24
Boot = Callable[[Mapping[str, Any]], AbstractContextManager[Guest]]
ROUTE = "/v1/l/<token>/v86/<block_size>/<name>"
LOG_SECONDS = 20
DISK = make_boot_disk(CONTENT, READS, [LATER])
FIRST_LINES = [GREETING, *(read.line(DISK) for read in READS), WAITING]


@pytest.fixture(scope="module", autouse=True)
def v86() -> None:
    require_v86()


@pytest.fixture(scope="module")
def page(v86: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_page(tmp_path_factory.mktemp("page")) as origin:
        yield origin


@pytest.fixture(scope="module")
def gateway(
    page: str, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGateway]:
    """A gateway that allows the page's origin and no other, and that remembers no lease."""
    changes = {"CORS_ALLOW_ORIGIN": page, "ACCESS_CACHE_SECONDS": "0"}
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    running = start_gateway({**os.environ, **environment, **changes}, port=find_free_ports(1)[0], log=log)
    yield running
    running.process.kill()


@pytest.fixture(scope="module")
def owner(gateway: LocalGateway) -> GatewayClient:
    return GatewayClient(gateway.url, f"user-{uuid.uuid4()}")


@pytest.fixture(scope="module")
def image_id(owner: GatewayClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("disk") / "boot.img"
    file.write_bytes(DISK)
    return upload_file(owner, file, parallel=2, on_bytes=lambda _: None).image_id


@pytest.fixture
def boot(chromium: Browser, page: str, gateway: LocalGateway) -> Boot:
    return lambda hda: booted(chromium, page, hda, gateway.url)


def name(part: int, extension: str = ".img") -> str:
    return f"disk-{part * PART}-{(part + 1) * PART}{extension}"


class RequestLog:
    """The gateway's log lines of one test; every test waits for all of its own."""

    def __init__(self, gateway: LocalGateway) -> None:
        self._gateway = gateway
        self._before = gateway.process.log.stat().st_size

    def wait_for(self, guest: Guest) -> list[tuple[str, int, int]]:
        """Wait for the line of each answer that the browser got; route, status and bytes, sorted."""
        count = len(guest.answers)
        self._gateway.process.wait_until(lambda: len(self._lines()) >= count, seconds=LOG_SECONDS)
        return sorted((line["route"], line["status"], line["bytes"]) for line in self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        whole, _, _ = self._gateway.process.log.read_bytes()[self._before :].rpartition(b"\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if str(line.get("route")).startswith("/v1/l/")]


@pytest.fixture
def request_log(gateway: LocalGateway, image_id: str) -> RequestLog:
    return RequestLog(gateway)


def expected_log(guest: Guest) -> list[tuple[str, int, int]]:
    """The log lines of what the browser got."""
    return sorted((ROUTE, answer.status, int(answer.headers["content-length"])) for answer in guest.answers)


def statuses(guest: Guest) -> dict[str, int]:
    """The status by file; v86 asks for each part once, and at once for those that one read needs."""
    assert len({answer.file for answer in guest.answers}) == len(guest.answers)
    return {answer.file: answer.status for answer in guest.answers}


def test_a_guest_boots_and_reads_the_disk_up_to_its_end(
    boot: Boot, owner: GatewayClient, image_id: str, page: str, request_log: RequestLog
) -> None:
    with boot(owner.stream_url(image_id)["views"]["v86"]) as guest:
        guest.wait_for_line(WAITING)
        assert guest.lines == FIRST_LINES
        guest.send("x")
        guest.wait_for_line(LATER.line(DISK))
    assert statuses(guest) == {name(part): 200 for part in [*PARTS, LATER_PART]}
    assert {answer.headers["access-control-allow-origin"] for answer in guest.answers} == {page}
    assert request_log.wait_for(guest) == [(ROUTE, 200, PART)] * len(guest.answers)


def test_a_guest_boots_from_compressed_parts(
    boot: Boot, owner: GatewayClient, image_id: str, request_log: RequestLog
) -> None:
    offered = owner.send_json("POST", "/v1/leases", {"imageId": image_id})["views"]["v86"]
    with boot({**offered, "url": f"{offered['url']}.zst"}) as guest:
        guest.wait_for_line(WAITING)
    assert guest.lines == FIRST_LINES
    assert statuses(guest) == {name(part, ".img.zst"): 200 for part in PARTS}
    zeros = guest.wait_for_answer(name(ZEROS_PART, ".img.zst"))
    assert int(zeros.headers["content-length"]) < SECTOR
    assert request_log.wait_for(guest) == expected_log(guest)


def test_a_revoked_lease_ends_the_reads_of_a_guest(
    boot: Boot, owner: GatewayClient, image_id: str, request_log: RequestLog
) -> None:
    lease = owner.send_json("POST", "/v1/leases", {"imageId": image_id})
    with boot(lease["views"]["v86"]) as guest:
        guest.wait_for_line(WAITING)
        owner.send_json("DELETE", f"/v1/leases/{lease['leaseId']}")
        guest.send("x")
        refused = guest.wait_for_answer(name(LATER_PART))
    assert (refused.status, refused.headers["x-error-code"]) == (403, "LEASE_REVOKED")
    assert guest.lines == FIRST_LINES
    assert statuses(guest) == {**{name(part): 200 for part in PARTS}, name(LATER_PART): 403}
    assert request_log.wait_for(guest) == [*[(ROUTE, 200, PART)] * len(PARTS), (ROUTE, 403, 0)]
