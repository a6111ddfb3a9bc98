"""Metrics of a real gateway: added up over its workers, and kept over reloads and deaths of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from image_gateway.local.gateway import LocalGateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.processes import ManagedProcess, StartFailed
from image_gateway.serving.command import gunicorn_command
from tests.live.conftest import StartGateway
from tests.live.support import run_cli
from tests.support.numbers import Samples, parse_page, total

TOKEN = "a-token-for-the-live-test"


class Scraped:
    """A gateway with two workers, and what Prometheus would see of it."""

    def __init__(self, start: StartGateway, folder: Path) -> None:
        self.port = find_free_ports(1)[0]
        self.folder = folder
        changes = {"METRICS_PORT": str(self.port), "METRICS_TOKEN": TOKEN, "TMPDIR": str(folder)}
        self.gateway: LocalGateway = start(WEB_WORKERS="2", WEB_THREADS="2", **changes)
        self.wait(self.is_served)

    def wait(self, ready: Callable[[], bool]) -> None:
        self.gateway.process.wait_until(ready, seconds=60)

    def is_served(self) -> bool:
        try:
            return bool(self.scrape())
        except HTTPError:
            return False

    def scrape(self, path: str = "/metrics") -> Samples:
        with urllib3.PoolManager(retries=False, timeout=5) as http:
            answer = http.request("GET", f"http://127.0.0.1:{self.port}{path}")
        return parse_page(answer.data.decode()) if answer.status == 200 else {}

    def scrape_with_token(self) -> Samples:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = urllib3.request("GET", f"{self.gateway.url}/metrics", headers=headers)
        return parse_page(answer.data.decode())

    def drive(self, requests: int) -> None:
        """Requests over a connection each, so that both workers get some."""
        for _ in range(requests):
            headers = {"X-User-Id": "metrics", "Connection": "close"}
            assert urllib3.request("GET", f"{self.gateway.url}/v1/usage", headers=headers).status == 200

    def counted(self) -> float:
        return total(self.scrape(), "requests_total", route="/v1/usage", status="200")

    def children(self) -> dict[int, str]:
        """The master's children and their commands; zombies have none."""
        master = self.gateway.process.pid
        pids = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        found = {int(pid): _command(int(pid)) for pid in pids}
        return {pid: command for pid, command in found.items() if command}

    def workers(self) -> set[int]:
        return {pid for pid, command in self.children().items() if "metrics_server" not in command}

    def server(self) -> int:
        (pid,) = [pid for pid, command in self.children().items() if "metrics_server" in command]
        return pid

    def owners_of_files(self) -> set[int]:
        """The processes whose numbers are in files of their own, 0 for all that have ended."""
        (folder,) = self.folder.glob("image-gateway-metrics-*")
        return {int(file.stem.rpartition("_")[2]) for file in folder.glob("*.db")}

    def reload(self) -> None:
        before = self.workers()
        os.kill(self.gateway.process.pid, signal.SIGHUP)
        self.wait(lambda: len(self.workers()) == 2 and not self.workers() & before)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_numbers_add_up_and_survive(start: StartGateway, tmp_path: Path) -> None:
    scraped = Scraped(start, tmp_path)
    server = scraped.server()
    scraped.drive(40)
    scraped.wait(lambda: scraped.counted() == 40)
    assert total(scraped.scrape_with_token(), "requests_total", route="/v1/usage") == 40
    assert total(scraped.scrape(), "catalog_up") == 1
    assert scraped.scrape("/") == scraped.scrape("/metricsx") == {}

    for _ in range(2):
        scraped.reload()
        scraped.drive(10)
    scraped.wait(lambda: scraped.counted() == 60)
    scraped.wait(lambda: scraped.owners_of_files() <= {0, scraped.gateway.process.pid} | scraped.workers())

    os.kill(min(scraped.workers()), signal.SIGKILL)
    scraped.wait(lambda: len(scraped.workers()) == 2)
    assert scraped.counted() == 60
    assert scraped.server() == server

    os.kill(server, signal.SIGKILL)
    scraped.wait(lambda: server not in scraped.children())
    scraped.reload()
    scraped.wait(scraped.is_served)
    assert scraped.counted() == 60

    server = scraped.server()
    scraped.gateway.process._child.send_signal(signal.SIGTERM)
    assert scraped.gateway.process.wait(20) == 0
    assert not _command(server)
    assert list(tmp_path.glob("image-gateway-metrics-*")) == []
    assert "Traceback" not in scraped.gateway.process.log_tail(100_000)


def test_it_does_not_outlive_a_master_that_was_killed(start: StartGateway, tmp_path: Path) -> None:
    scraped = Scraped(start, tmp_path)
    server = scraped.server()
    os.kill(scraped.gateway.process.pid, signal.SIGKILL)
    # Poll by a child of ours that lives as long as the server does.
    script = f"import os,time\nwhile os.path.exists('/proc/{server}'): time.sleep(0.05)"
    subprocess.run([sys.executable, "-c", script], timeout=20, check=True)


def test_metrics_of_an_open_gateway_are_not_open(environment: dict[str, str], tmp_path: Path) -> None:
    port, metrics_port = find_free_ports(2)
    variables = {
        **environment,
        "HOST": "0.0.0.0",
        "PORT": str(port),
        "ALLOW_INSECURE_DEV_AUTH": "true",
        "METRICS_PORT": str(metrics_port),
        "TMPDIR": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    process = ManagedProcess("the gateway", gunicorn_command(), env=variables, log=tmp_path / "log")
    try:
        process.wait_until(lambda: answers("127.0.0.1", metrics_port), seconds=60)
        process.wait_until(lambda: answers("127.0.0.2", port), seconds=60)
        # Another address of this machine, which listening on 0.0.0.0 would include.
        assert not answers("127.0.0.2", metrics_port)
    finally:
        process.stop(grace=10)


def test_metrics_listen_where_they_are_told(start: StartGateway, tmp_path: Path) -> None:
    port = find_free_ports(1)[0]
    gateway = start(METRICS_PORT=str(port), METRICS_HOST="127.0.0.2", TMPDIR=str(tmp_path))
    gateway.process.wait_until(lambda: answers("127.0.0.2", port), seconds=60)
    assert not answers("127.0.0.1", port)


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_port_that_is_taken_stops_the_start(start: StartGateway, tmp_path: Path) -> None:
    taken = find_free_ports(1)[0]
    with (
        socket.create_server(("127.0.0.1", taken)),
        pytest.raises(StartFailed, match=f"METRICS_PORT={taken} cannot be used") as caught,
    ):
        start(METRICS_PORT=str(taken), TMPDIR=str(tmp_path))
    assert "status 78" in str(caught.value)
    assert list(tmp_path.glob("image-gateway-metrics-*")) == []


def test_sweep_writes_its_numbers(environment: dict[str, str], own_database: str, tmp_path: Path) -> None:
    own = {**environment, "DATABASE_URL": own_database}
    file = tmp_path / "sweep.prom"
    swept = run_cli(own, "sweep", "--older-than", "7d", "--metrics-file", str(file))
    assert swept.returncode == 0, swept.stderr
    samples = parse_page(file.read_text())
    assert total(samples, "sweep_results", kind="orphaned_uploads") == 0
    assert total(samples, "sweep_finished_timestamp_seconds") > 1.7e9
    refused = run_cli(own, "sweep", "--dry-run", "--metrics-file", str(file))
    assert refused.returncode == 2
