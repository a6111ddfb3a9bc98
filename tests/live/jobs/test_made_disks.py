"""Disks that jobs make, with a real worker, store and QEMU: every format, imports, and bad files."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from image_gateway.client.api import GatewayClient
from image_gateway.client.jobs import JobsClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploading
from image_gateway.local.gateway import LocalGateway
from tests.support.job_client import (
    MIB,
    SIZE,
    StartWorker,
    converted,
    sha256,
    stored_sha256,
    upload,
    wait_for_jobs,
    wait_until_purged,
)


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
    environment: dict[str, str],
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
    wait_until_purged(environment, made["imageId"])


@pytest.mark.usefixtures("qemu")
def test_a_source_too_large_to_be_hashed_at_once_is_hashed_by_the_job(
    start: Callable[..., LocalGateway],
    environment: dict[str, str],
    start_job_worker: StartWorker,
    raw_disk: Path,
    tmp_path: Path,
) -> None:
    client = GatewayClient(start(SHA256_CHECK_MAX_BYTES="0").url, f"user-{random.randrange(10**9)}")
    start_job_worker(SHA256_CHECK_MAX_BYTES="0")
    file = converted(raw_disk, "qcow2", "", tmp_path)
    uploads = Uploading(client, file, retrier=Retrier(30), parallel=2)
    wrong = uploads.begin(image_format="qcow2", sha256="0" * 64)
    job = wait_for_jobs(client, wrong.image_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "BAD_REQUEST")
    wait_until_purged(environment, wrong.image_id)
    right = uploads.begin(image_format="qcow2", sha256=sha256(file))
    assert wait_for_jobs(client, right.image_id)["state"] == "done"


def test_an_empty_disk_is_all_zero(client: GatewayClient, start_job_worker: StartWorker) -> None:
    start_job_worker()
    made = JobsClient(client).make_empty(40 * MIB + 512, "data")
    assert wait_for_jobs(client, made["imageId"])["state"] == "done"
    assert stored_sha256(client, made["imageId"]) == hashlib.sha256(bytes(40 * MIB + 512)).hexdigest()
