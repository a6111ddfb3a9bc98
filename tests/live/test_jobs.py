"""Background jobs with a real worker, store and QEMU: every format, imports, and workers that die."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import zstandard

from image_gateway.client.api import GatewayClient
from image_gateway.client.jobs import ACTIVE, JobsClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploaded, Uploading
from image_gateway.local.gateway import LocalGateway
from image_gateway.local.processes import ManagedProcess
from image_gateway.local.worker import start_worker
from tests.support.qemu import require_qemu

MIB = 1024 * 1024
SIZE = 48 * MIB
PATIENCE = 120

StartWorker = Callable[..., ManagedProcess]


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


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def stored_sha256(client: GatewayClient, image_id: str) -> str:
    size = client.image(image_id)["size"]
    digest = hashlib.sha256()
    for start in range(0, size, 8 * MIB):
        digest.update(client.read_range(image_id, start, min(size, start + 8 * MIB)))
    return digest.hexdigest()


def converted(raw: Path, image_format: str, options: str, folder: Path) -> Path:
    file = folder / f"disk.{image_format}"
    names = {"vhd": "vpc"}
    command = ["qemu-img", "convert", "-f", "raw", "-O", names.get(image_format, image_format)]
    subprocess.run([*command, *options.split(), str(raw), str(file)], check=True, timeout=60)
    return file


def upload(client: GatewayClient, file: Path, image_format: str) -> Uploaded:
    return Uploading(client, file, retrier=Retrier(30), parallel=2).begin(image_format=image_format)


def wait_for_jobs(client: GatewayClient, image_id: str, seconds: float = PATIENCE) -> dict[str, Any]:
    """Wait until the image has no active job, and return the newest."""
    deadline = time.monotonic() + seconds
    while True:
        job = JobsClient(client).list(image_id)[0]
        if job["state"] not in ACTIVE:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("qcow2", "-c"),
        ("vhdx", "-o subformat=dynamic"),
        pytest.param("vmdk", "-o subformat=streamOptimized", marks=pytest.mark.thorough),
        pytest.param("vhd", "-o subformat=fixed,force_size", marks=pytest.mark.thorough),
        pytest.param("vdi", "", marks=pytest.mark.thorough),
    ],
)
def test_what_is_uploaded_in_another_format_reads_as_the_raw_disk(
    client: GatewayClient,
    start_job_worker: StartWorker,
    raw_disk: Path,
    tmp_path: Path,
    image_format: str,
    options: str,
) -> None:
    start_job_worker()
    file = converted(raw_disk, image_format, options, tmp_path)
    uploaded = upload(client, file, "auto")
    assert uploaded.state == "processing"
    job = wait_for_jobs(client, uploaded.image_id)
    assert (job["state"], job["bytesDone"], job["bytesTotal"]) == ("done", SIZE, SIZE)
    record = client.image(uploaded.image_id)
    assert (record["state"], record["size"], record["format"]) == ("complete", SIZE, "auto")
    assert stored_sha256(client, uploaded.image_id) == sha256(raw_disk)
    # The source is gone, and the image counts once.
    used = client.send_json("GET", "/v1/usage")
    assert used["bytes"]["used"] == SIZE


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_an_import_is_decompressed_on_the_way(
    client: GatewayClient, start_job_worker: StartWorker, web: tuple[Path, str], suffix: str
) -> None:
    folder, url = web
    data = random.Random(9).randbytes(3 * MIB) + bytes(20 * MIB) + b"end"
    pack: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.compress,
    }
    (folder / f"disk.img{suffix}").write_bytes(pack[suffix](data))
    start_job_worker()
    declared = sha256(folder / f"disk.img{suffix}")
    made = JobsClient(client).import_url(f"{url}/disk.img{suffix}", sha256=declared)
    assert wait_for_jobs(client, made["imageId"])["state"] == "done"
    record = client.image(made["imageId"])
    assert (record["name"], record["size"]) == (f"disk.img{suffix}", len(data))
    assert stored_sha256(client, made["imageId"]) == hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("qemu")
def test_an_import_of_another_format_is_converted(
    client: GatewayClient,
    start_job_worker: StartWorker,
    web: tuple[Path, str],
    raw_disk: Path,
    tmp_path: Path,
) -> None:
    folder, url = web
    shutil.copy(converted(raw_disk, "qcow2", "", tmp_path), folder / "disk.qcow2")
    start_job_worker()
    made = JobsClient(client).import_url(f"{url}/disk.qcow2", format="auto")
    job = wait_for_jobs(client, made["imageId"])
    assert (job["kind"], job["state"]) == ("convert", "done")
    assert stored_sha256(client, made["imageId"]) == sha256(raw_disk)


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("missing.img", {}, "SOURCE_REFUSED"),
        ("disk.img", {"sha256": "0" * 64}, "BAD_REQUEST"),
        ("disk.img", {"format": "vmdk"}, "BAD_REQUEST"),
        ("empty.img", {}, "BAD_REQUEST"),
        ("broken.img.gz", {}, "SOURCE_DAMAGED"),
    ],
)
def test_a_bad_import_fails_with_its_reason_and_leaves_nothing(
    client: GatewayClient,
    start_job_worker: StartWorker,
    web: tuple[Path, str],
    name: str,
    options: dict[str, str],
    code: str,
) -> None:
    folder, url = web
    (folder / "disk.img").write_bytes(b"x" * MIB)
    (folder / "empty.img").write_bytes(b"")
    (folder / "broken.img.gz").write_bytes(gzip.compress(random.Random(1).randbytes(MIB))[:-100])
    process = start_job_worker()
    made = JobsClient(client).import_url(f"{url}/{name}?signature=secret-signature", **options)
    job = wait_for_jobs(client, made["imageId"])
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert client.image(made["imageId"])["state"] == "failed"
    assert client.send_json("GET", "/v1/usage")["bytes"]["used"] == 0
    assert "secret-signature" not in str(job) + process.log.read_text()


def test_an_empty_disk_is_all_zero(client: GatewayClient, start_job_worker: StartWorker) -> None:
    start_job_worker()
    made = JobsClient(client).make_empty(40 * MIB + 512, "data")
    assert wait_for_jobs(client, made["imageId"])["state"] == "done"
    assert stored_sha256(client, made["imageId"]) == hashlib.sha256(bytes(40 * MIB + 512)).hexdigest()


def test_deleting_an_image_ends_its_job(client: GatewayClient, start_job_worker: StartWorker) -> None:
    start_job_worker()
    made = JobsClient(client).make_empty(4096 * MIB, "large")
    jobs, job_id = JobsClient(client), made["job"]["jobId"]
    deadline = time.monotonic() + PATIENCE
    while jobs.job(job_id)["bytesDone"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client.delete_image(made["imageId"])
    client.delete_image(made["imageId"])
    assert client.send_json("GET", "/v1/usage")["images"]["used"] == 0


def test_a_worker_that_is_stopped_hands_its_job_on(
    client: GatewayClient, start_job_worker: StartWorker
) -> None:
    first = start_job_worker(WORKER_CLAIM_SECONDS="600")
    made = JobsClient(client).make_empty(2048 * MIB, "large")
    jobs, job_id = JobsClient(client), made["job"]["jobId"]
    deadline = time.monotonic() + PATIENCE
    while jobs.job(job_id)["bytesDone"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.stop(grace=30)
    returned = jobs.job(job_id)
    assert returned["state"] in ("queued", "done")
    # Its claim would have lasted ten minutes.
    start_job_worker()
    assert wait_for_jobs(client, made["imageId"])["state"] == "done"
    assert client.image(made["imageId"])["size"] == 2048 * MIB


@pytest.mark.thorough
@pytest.mark.usefixtures("qemu")
def test_a_conversion_survives_twenty_kills(
    client: GatewayClient, start_job_worker: StartWorker, tmp_path: Path
) -> None:
    """At random moments; a killed worker's job is claimed again when its claim expires."""
    raw, source = tmp_path / "disk.raw", random.Random(20)
    with raw.open("wb") as disk:
        for _ in range(640):
            disk.write(source.randbytes(MIB) if source.random() < 0.8 else bytes(MIB))
    uploaded = upload(client, converted(raw, "qcow2", "", tmp_path), "qcow2")
    jobs, kills = JobsClient(client), 0
    while kills < 20 and jobs.list(uploaded.image_id)[0]["state"] in ACTIVE:
        process = start_job_worker()
        ready = time.monotonic() + PATIENCE
        while jobs.list(uploaded.image_id)[0]["state"] == "queued" and time.monotonic() < ready:
            time.sleep(0.05)
        time.sleep(2 + source.random() * 1.5)
        process.kill()
        kills += 1
    start_job_worker()
    job = wait_for_jobs(client, uploaded.image_id)
    assert (job["state"], job.get("error")) == ("done", None)
    assert kills >= 3
    assert stored_sha256(client, uploaded.image_id) == sha256(raw)
