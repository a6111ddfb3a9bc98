from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.worker import start_worker
from tests.support.job_client import MIB, SIZE, StartWorker
from tests.support.programs import require_qemu


@pytest.fixture(scope="session")
def qemu() -> None:
    require_qemu()


@pytest.fixture
def start_job_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers; they end with the test."""
    started: list[ManagedProcess] = []

    def start(**changes: str) -> ManagedProcess:
        variables = {
            **os.environ,
            **environment,
            "IMPORT_ALLOW_HTTP": "true",
            "IMPORT_ALLOW_PRIVATE": "true",
            "WORKER_CLAIM_SECONDS": "2",
            **changes,
        }
        process = start_worker(variables, log=tmp_path / f"worker-{len(started)}.log")
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def client(start: Callable[..., LocalGateway]) -> GatewayClient:
    gateway = start(IMPORT_ALLOW_HTTP="true", IMPORT_ALLOW_PRIVATE="true")
    return GatewayClient(gateway.url, f"user-{random.randrange(10**9)}")


@pytest.fixture(scope="session")
def raw_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with data here and there, and holes between."""
    file = tmp_path_factory.mktemp("disk") / "disk.raw"
    source = random.Random(5)
    with file.open("wb") as disk:
        disk.truncate(SIZE)
        for _ in range(12):
            disk.seek(source.randrange(SIZE // MIB - 1) * MIB)
            disk.write(source.randbytes(700_000))
    return file


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its URL."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
