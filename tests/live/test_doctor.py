"""`image-gateway doctor` as an operator runs it, against a real store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from image_gateway.cli.main import cli
from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.bucket import BucketSetup
from image_gateway.storage.client import StoreAddress, StoreClients
from tests.live.support import COMMAND
from tests.support.aws_shape import Canned, aws_shape
from tests.support.s3_operations import operation_of


@pytest.fixture
def bucket(store: LocalStore) -> StoreAddress:
    """A new bucket as the store makes it, not set up."""
    address = StoreAddress(**{**store.address.__dict__, "bucket": f"doctor-{uuid.uuid4()}"})
    StoreClients(address).requests.create_bucket(Bucket=address.bucket)
    return address


def run(environ: Mapping[str, str], *options: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", "--only", "store", *options], env=environ)


def is_empty(address: StoreAddress) -> bool:
    s3 = StoreClients(address).requests
    listed, uploads = (
        s3.list_objects_v2(Bucket=address.bucket),
        s3.list_multipart_uploads(Bucket=address.bucket),
    )
    return "Contents" not in listed and "Uploads" not in uploads


def test_of_a_healthy_store_nothing_is_told(environment: dict[str, str], bucket: StoreAddress) -> None:
    list(BucketSetup(StoreClients(bucket), ("*",)).run())
    ended = run({**environment, "S3_BUCKET": bucket.bucket}, "--strict")
    assert ended.exit_code == 0, ended.output
    assert "nothing is wrong (3" in ended.stdout
    assert [line for line in ended.stdout.splitlines() if line.startswith("--")] == [
        "--   store: encryption at rest (skipped: the store does not say; many encrypt their disks instead)"
    ]
    assert is_empty(bucket)


def test_a_bucket_that_was_not_set_up_is_told(environment: dict[str, str], bucket: StoreAddress) -> None:
    ended = run({**environment, "S3_BUCKET": bucket.bucket}, "--json")
    document = json.loads(ended.stdout)
    assert (ended.exit_code, document["ok"]) == (1, False)
    assert {finding["code"] for finding in document["findings"]} == {
        "store-cors",
        "store-cors-exposed",
        "store-no-abort-rule",
    }
    secret = environment["AWS_SECRET_ACCESS_KEY"]
    assert all(word not in ended.output for word in (secret, "X-Amz-Signature"))
    assert is_empty(bucket)


def test_ctrl_c_removes_the_probes(environment: dict[str, str], bucket: StoreAddress) -> None:
    address = urlsplit(bucket.endpoint or "")
    reached = threading.Event()

    def note(method: str, target: str, headers: Mapping[str, str]) -> Canned | None:
        if operation_of(method, target, headers) == "UploadPart":
            reached.set()
        return None

    with aws_shape((address.hostname or "", address.port or 0)) as shape:
        shape.script = note
        changed = {**environment, "S3_BUCKET": bucket.bucket, "S3_ENDPOINT": shape.url}
        with subprocess.Popen(
            [COMMAND, "doctor", "--only", "store"],
            env={**os.environ, **changed},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert reached.wait(60)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "ok   store: nothing is left behind" in output
    assert "Traceback" not in errors
    assert is_empty(bucket)
