"""A boot that is recorded by two workers, its trace, and a gateway that reads ahead of the next boot."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import urllib3

from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway
from tests.live.conftest import StartGateway
from tests.live.support import run_cli
from tests.support.fake_store import wait_for

USER, BLOCK = "user-of-a-boot", 65_536
DATA = random.Random(11).randbytes(64 * BLOCK + 100)
METRICS_TOKEN = "m" * 32
# First the last block, which is short, then blocks here and there.
ORDER = [64, *random.Random(12).sample(range(64), 40)]


@pytest.fixture
def image_id(gateway: LocalGateway, tmp_path: Path) -> str:
    file = tmp_path / "disk.img"
    file.write_bytes(DATA)
    return upload_file(GatewayClient(gateway.url, USER), file, parallel=1, on_bytes=lambda _: None).image_id


def boot(url: str, order: list[int]) -> None:
    """Read blocks in order, each by a connection of its own, so that any worker may answer."""
    for block in order:
        start, stop = block * BLOCK, min(len(DATA), (block + 1) * BLOCK)
        headers = {"Range": f"bytes={start}-{stop - 1}", "Connection": "close"}
        answer = urllib3.request("GET", url, headers=headers, retries=False, timeout=20)
        assert (answer.status, answer.data) == (206, DATA[start:stop])


def ask(gateway: LocalGateway, method: str, path: str, **body: Any) -> dict[str, Any]:
    headers = {"X-User-Id": USER}
    answer = urllib3.request(method, gateway.url + path, headers=headers, **({"json": body} if body else {}))
    assert answer.status == 200, answer.data
    document: dict[str, Any] = answer.json()
    return document


def recorded(log: Path, lease_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("lease") == lease_id and "range_start" in line]


def wait_for_reads(gateway: LocalGateway, lease_id: str, count: int) -> None:
    """Wait until the log has so many reads of a lease: a line is written after the answer was sent."""
    gateway.process.wait_until(lambda: len(recorded(gateway.process.log, lease_id)) >= count, seconds=20)


def metric(gateway: LocalGateway, name: str) -> float:
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    text = urllib3.request("GET", f"{gateway.url}/metrics", headers=headers).data.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))


@pytest.mark.database
def test_a_boot_is_recorded_by_two_workers_and_handed_out(
    gateway: LocalGateway, environment: dict[str, str], image_id: str
) -> None:
    lease = ask(gateway, "POST", "/v1/leases", imageId=image_id, record=True)
    lease_id, url, log = lease["leaseId"], lease["url"], gateway.process.log
    boot(url, ORDER)
    wait_for_reads(gateway, lease_id, len(ORDER))
    # Until both workers have recorded some; blocks that were read before change nothing.
    count = len(ORDER)
    while len({line["pid"] for line in recorded(log, lease_id)}) < 2:
        assert count < 500
        boot(url, ORDER[:20])
        count += 20
        wait_for_reads(gateway, lease_id, count)
    assert "prefetch" not in ask(gateway, "GET", f"/v1/images/{image_id}/stream-url")

    made = run_cli(environment, "trace", image_id, "--log", str(log))
    assert made.returncode == 0, made.stderr
    assert "41 blocks of 64 KiB, 2621540 bytes, 62.5 % of the image\nstored the boot trace" in made.stdout
    path = f"/v1/images/{image_id}/stream-url"
    wait_for(lambda: "prefetch" in ask(gateway, "GET", path))
    assert ask(gateway, "GET", path)["prefetch"] == {"blockSize": BLOCK, "blocks": ORDER}

    removed = run_cli(environment, "trace", image_id, "--remove")
    assert (removed.returncode, removed.stdout) == (0, "removed the boot trace\n")


def test_the_cache_is_filled_ahead_of_a_boot(
    gateway: LocalGateway, start: StartGateway, environment: dict[str, str], image_id: str, tmp_path: Path
) -> None:
    lease = ask(gateway, "POST", "/v1/leases", imageId=image_id, record=True)
    boot(lease["url"], ORDER)
    wait_for_reads(gateway, lease["leaseId"], len(ORDER))
    log = str(gateway.process.log)
    made = run_cli(environment, "trace", image_id, "--log", log, "--lease", lease["leaseId"])
    assert made.returncode == 0, made.stderr

    cached = start(
        RANGE_CACHE_DIR=str(tmp_path / "blocks"),
        RANGE_CACHE_BLOCK_BYTES=str(BLOCK),
        METRICS_TOKEN=METRICS_TOKEN,
    )
    url = ask(cached, "GET", f"/v1/images/{image_id}/stream-url")["url"]
    # The trace is looked up by the first reads of each worker; then a few reads follow it.
    wait_for(
        lambda: (boot(url, ORDER[:3]), metric(cached, "image_gateway_read_ahead_fills_total"))[1] > 0, 30
    )
    wait_for(lambda: metric(cached, "image_gateway_cache_fills_total") == len(ORDER), 30)
    misses = metric(cached, "image_gateway_cache_misses_total")
    boot(url, ORDER)
    assert metric(cached, "image_gateway_cache_misses_total") == misses
    assert metric(cached, "image_gateway_cache_fills_total") == len(ORDER)
    assert metric(cached, "image_gateway_read_ahead_uses_total") > 0
    cached.stop()
    assert cached.process.wait(1) == 0
    assert "reading ahead failed" not in cached.process.log.read_text()
