"""What tests of background jobs do with a gateway and files."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from image_gateway.catalog.database import open_engine
from image_gateway.catalog.repository import Catalog
from image_gateway.client.api import GatewayClient
from image_gateway.client.jobs import ACTIVE, JobsClient
from image_gateway.client.retry import Retrier
from image_gateway.client.upload import Uploaded, Uploading
from image_gateway.local.processes import ManagedProcess

MIB = 1024 * 1024
SIZE = 48 * MIB
PATIENCE = 120

StartWorker = Callable[..., ManagedProcess]


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


def wait_until_purged(environment: dict[str, str], image_id: str) -> None:
    """Wait until the worker found that a failed image has no objects and uploads left."""
    catalog, deadline = Catalog(open_engine(environment["DATABASE_URL"])), time.monotonic() + PATIENCE
    while (record := catalog.find(image_id)) is None or record.purged_at is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
