"""`image-gateway bucket init` against a real store."""

from __future__ import annotations

import uuid

from image_gateway.local.seaweed import LocalStore
from image_gateway.storage.client import StoreClients
from tests.live.support import run_cli


def test_a_missing_bucket_is_made_and_proven(environment: dict[str, str], store: LocalStore) -> None:
    name = f"new-{uuid.uuid4()}"
    changed = {**environment, "S3_BUCKET": name, "CORS_ALLOW_ORIGIN": "https://app.example.com"}
    first = run_cli(changed, "bucket", "init")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "bucket exists (created)" in first.stdout
    again = run_cli(changed, "bucket", "init")
    assert again.returncode == 0
    assert "bucket exists (already exists)" in again.stdout
    s3 = StoreClients(store.address).requests
    (rule,) = s3.get_bucket_cors(Bucket=name)["CORSRules"]
    assert rule["AllowedOrigins"] == ["https://app.example.com"]
    assert set(rule["AllowedMethods"]) == {"PUT", "GET", "HEAD"}
    assert {"ETag", "Retry-After"} <= set(rule["ExposeHeaders"])
    assert "Contents" not in s3.list_objects_v2(Bucket=name)


def test_wrong_keys_fail_and_say_so(environment: dict[str, str]) -> None:
    ended = run_cli({**environment, "AWS_SECRET_ACCESS_KEY": "wrong"}, "bucket", "init")
    assert ended.returncode == 1
    assert "FAIL" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert "wrong" not in ended.stdout + ended.stderr
