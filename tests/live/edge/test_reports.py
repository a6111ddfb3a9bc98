"""What nginx reports by UDP: reads for /metrics, errors for the gateway's log."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from image_gateway.edge.reports import ERRORS_PER_SECOND, EdgeReports
from image_gateway.local.ports import find_free_ports
from image_gateway.observability.metrics import EdgeReads
from tests.live.edge.conftest import DATA, Pair, StartPair
from tests.support.fake_store import wait_for
from tests.support.numbers import parse_page, total


@pytest.fixture
def pair(start_pair: StartPair, tmp_path: Path) -> Pair:
    metrics_port, report_port = find_free_ports(2)
    # A killed gateway leaves its temporary files.
    running = start_pair(
        METRICS_PORT=str(metrics_port),
        EDGE_REPORT_ADDRESS=f"127.0.0.1:{report_port}",
        TMPDIR=str(tmp_path),
    )
    # What is reported before somebody listens is lost. The process listens for reports first.
    wait_for(lambda: _is_served(metrics_port))
    return running


def _is_served(port: int) -> bool:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", retries=False).status == 200
    except HTTPError:
        return False


def _metric(pair: Pair, name: str, **labels: str) -> float:
    page = urllib3.request(
        "GET", f"http://127.0.0.1:{pair.environment['METRICS_PORT']}/metrics"
    ).data.decode()
    return total(parse_page(page), name, **labels)


def test_hits_misses_and_bytes_are_counted(pair: Pair, owner: str) -> None:
    path = f"/v1/images/{pair.make_image(owner)}/range"
    for _ in range(3):
        answer = pair.ask("GET", path, {"X-User-Id": owner, "Range": "bytes=0-99"})
        assert (answer.status, answer.body) == (206, DATA[:100])
    pair.ask("GET", path, {"X-User-Id": "stranger"})
    reads, sent = "edge_reads_total", "edge_sent_bytes_total"
    wait_for(lambda: _metric(pair, reads) == 4)
    assert _metric(pair, reads, cache="miss") == 1
    assert _metric(pair, reads, cache="hit") == 2
    assert _metric(pair, reads, cache="none", **{"class": "4xx"}) == 1
    assert _metric(pair, sent, cache="hit") == 200


def test_errors_of_nginx_are_in_the_gateways_log_without_secrets(pair: Pair, owner: str) -> None:
    image_id = pair.make_image(owner)
    lease = pair.post("/v1/leases", owner, imageId=image_id)["token"]
    answer = pair.ask("POST", f"/v1/l/{lease}/disk.img?token={lease}", body=b"x" * 5_000_000)
    assert answer.status == 413
    wait_for(lambda: "client intended to send too large body" in pair.gateway.process.log.read_text())
    assert lease not in pair.logs()
    assert "igl~[masked]" in pair.gateway.process.log.read_text()


@pytest.fixture
def reports() -> Iterator[tuple[EdgeReports, EdgeReads]]:
    reads = EdgeReads()
    receiver = EdgeReports(("127.0.0.1", 0), socket.AF_INET, reads.count)
    yield receiver, reads
    receiver.close()


def test_what_is_no_report_is_ignored(reports: tuple[EdgeReports, EdgeReads]) -> None:
    receiver, reads = reports
    for garbage in (b"", b"\xff" * 4000, b"<190>edge: 200 HIT 5", b"<190>Nov 24 23:17:46 edge: x HIT 5"):
        receiver.take(garbage)
    assert [metric.samples for metric in reads.collect()] == [[], []]
    receiver.take(b"<190>Nov 24 23:17:46 edge: 206 WHATEVER 5")
    assert [sample.labels for sample in next(iter(reads.collect())).samples] == [
        {"cache": "none", "class": "2xx"}
    ]


def test_a_flood_of_errors_does_not_flood_the_log(
    reports: tuple[EdgeReports, EdgeReads], caplog: pytest.LogCaptureFixture
) -> None:
    receiver, _ = reports
    for _ in range(10 * ERRORS_PER_SECOND):
        receiver.take(b"<187>Nov 24 23:17:46 edge_error: 2026/11/24 23:17:46 [error] 1#1: something")
    # The loop may run into the next second.
    assert ERRORS_PER_SECOND <= len(caplog.records) <= 2 * ERRORS_PER_SECOND + 1
