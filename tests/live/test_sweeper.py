"""`image-gateway sweep --every`, as the compose files run it."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from image_gateway.local.processes import ManagedProcess
from tests.live.support import COMMAND, run_cli


def test_it_sweeps_again_and_again_until_it_is_stopped(
    environment: dict[str, str], tmp_path: Path, own_database: str
) -> None:
    bucket = f"every-{uuid.uuid4()}"
    changed = {**os.environ, **environment, "S3_BUCKET": bucket, "DATABASE_URL": own_database}
    assert run_cli(changed, "bucket", "init").returncode == 0
    command = [str(COMMAND), "sweep", "--every", "1s", "--json"]
    process = ManagedProcess("sweeper", command, env=changed, log=tmp_path / "log")
    process.wait_until(lambda: process.log_tail().count('"dry_run": false') >= 2, seconds=60)
    process.stop(grace=10)
    reports = [json.loads(line) for line in process.log_tail().splitlines() if line.startswith("{")]
    assert {report["orphaned_uploads"] for report in reports} == {0}


def test_a_store_that_is_away_is_tried_again(environment: dict[str, str], tmp_path: Path) -> None:
    away = {"S3_ENDPOINT": "http://127.0.0.1:1", "S3_CONNECT_TIMEOUT_SECONDS": "1"}
    command = [str(COMMAND), "sweep", "--every", "1s"]
    process = ManagedProcess(
        "sweeper", command, env={**os.environ, **environment, **away}, log=tmp_path / "log"
    )
    process.wait_until(lambda: process.log_tail().count("sweep failed") >= 2, seconds=60)
    process.stop(grace=10)
    assert "Traceback" not in process.log_tail()
