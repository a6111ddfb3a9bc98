"""Workers that are stopped or die, and images that are deleted while a job runs."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from image_gateway.client.api import GatewayClient
from image_gateway.client.jobs import ACTIVE, JobsClient
from image_gateway.local.processes import ManagedProcess
from tests.support.job_client import (
    MIB,
    PATIENCE,
    StartWorker,
    converted,
    sha256,
    stored_sha256,
    upload,
    wait_for_jobs,
)

KILLS = int(os.environ.get("JOB_KILLS", "3"))


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
def test_conversion_and_publishing_survive_kills(
    client: GatewayClient, start_job_worker: StartWorker, tmp_path: Path
) -> None:
    """At random moments, JOB_KILLS of each. `make kills` runs it with twenty."""
    raw, source = tmp_path / "disk.raw", random.Random(20)
    with raw.open("wb") as disk:
        for _ in range(160 * KILLS):
            disk.write(source.randbytes(MIB) if source.random() < 0.8 else bytes(MIB))
    uploaded = upload(client, converted(raw, "qcow2", "", tmp_path), "qcow2")
    kill_workers(client, uploaded.image_id, start_job_worker, source)
    assert stored_sha256(client, uploaded.image_id) == sha256(raw)
    JobsClient(client).publish(uploaded.image_id)
    kill_workers(client, uploaded.image_id, start_job_worker, source)
    assert client.image(uploaded.image_id)["sha256"] == sha256(raw)
    start_job_worker()
    JobsClient(client).verify(uploaded.image_id)
    assert wait_for_jobs(client, uploaded.image_id)["state"] == "done"


def kill_workers(
    client: GatewayClient, image_id: str, start_job_worker: StartWorker, source: random.Random
) -> None:
    """Let workers run the image's newest job, each killed soon after it claimed it; the last one ends it."""
    jobs, kills = JobsClient(client), 0
    while kills < KILLS and jobs.list(image_id)[0]["state"] in ACTIVE:
        process = start_job_worker()
        wait_until_claimed(process, jobs, image_id)
        time.sleep(source.random() * 0.6)
        process.kill()
        kills += 1
    last = start_job_worker()
    job = wait_for_jobs(client, image_id)
    last.kill()
    assert (job["state"], job.get("error")) == ("done", None)
    assert kills >= 2


def wait_until_claimed(process: ManagedProcess, jobs: JobsClient, image_id: str) -> None:
    """Wait until the worker has the job, unless the one before ended it in the moment it was killed."""

    def is_claimed() -> bool:
        ended = jobs.list(image_id)[0]["state"] not in ACTIVE
        return ended or "job started" in process.log.read_text()

    process.wait_until(is_claimed, seconds=PATIENCE)
